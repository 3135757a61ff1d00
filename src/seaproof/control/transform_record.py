"""One transform job as its steps see it: the record, its history, its folder, and the log of its data.

Keys of the record's body that Describe does not show: `_instances` (workload -> place), `_options` (the tags
that ask for more than the platform has), `_plan` (what its instances run), `_failed` (objects that failed, and why).

.seaproof/transforms/<job>/<object>.part     output that is not whole yet, its `.journal` and `.bad`
.seaproof/transforms/<job>/progress.json     how far the job is, for whoever shows it
.seaproof/logs/TransformJobs/<job>/data-log.log
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from seaproof.control.fleet import Adopted
from seaproof.control.job_record import JobRecord
from seaproof.control.plane import Plane
from seaproof.control.transform_options import Options

KIND = "transform-job"
WORK = ("TransformInput", "TransformOutput", "DataProcessing", "ModelName")
"""What is the same in jobs that make the same output."""


def job_folder(plane: Plane, name: str) -> Path:
    """Where a job has what is not whole yet."""
    return plane.folder / "transforms" / name


@dataclass(frozen=True)
class Job(JobRecord):
    """One transform job under way."""

    kind: ClassVar[str] = KIND
    noun: ClassVar[str] = "Transform"
    absent: ClassVar[str] = "Could not find requested job with name: {}"
    adopted: Mapping[str, Adopted] = field(default_factory=dict)
    """Its instances that outlived the coordinator before, by the names of their variants."""

    @property
    def folder(self) -> Path:
        return job_folder(self.plane, self.name)

    @property
    def options(self) -> Options:
        """What it asks for beyond the platform."""
        return Options(**self.body()["_options"])

    def remove_folder(self) -> None:
        """Remove what the job has, once all of it has become objects."""
        shutil.rmtree(self.folder, ignore_errors=True)
