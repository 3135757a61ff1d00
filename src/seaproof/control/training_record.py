"""One training job as its steps see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from seaproof.contract.opt_ml import OptMl
from seaproof.control.container_job import ContainerJob
from seaproof.control.training_status import KIND


@dataclass(frozen=True)
class Job(ContainerJob):
    """One training job under way."""

    kind: ClassVar[str] = KIND
    noun: ClassVar[str] = "Training"

    def inputs(self, root: Path) -> Sequence[Path]:
        return (OptMl(root).data,)
