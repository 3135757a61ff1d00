"""One processing job as its steps see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from seaproof.control.container_job import ContainerJob
from seaproof.control.processing_request import read_inputs, read_outputs

KIND = "processing-job"


@dataclass(frozen=True)
class Job(ContainerJob):
    """One processing job under way."""

    kind: ClassVar[str] = KIND
    noun: ClassVar[str] = "Processing"
    absent: ClassVar[str] = "Could not find requested job with name: {}"

    def inputs(self, root: Path) -> Sequence[Path]:
        body = self.body()
        outputs = [root / output.folder for output in read_outputs(body)]
        folders = [given.place(root) for given in read_inputs(body)]
        # What lies in a folder that is an input and an output may be the program's.
        return [folder for folder in folders if not any(_overlap(folder, output) for output in outputs)]


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)
