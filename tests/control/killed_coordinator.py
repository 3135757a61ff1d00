"""A coordinator to be killed: it creates a training or processing job with the process driver, and hangs where told.

python killed_coordinator.py <state folder> <program folder> download|upload|never <request as JSON>
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from job_lab import open_plane

from seaproof.control.processing_jobs import create_processing_job
from seaproof.control.training_jobs import create_training_job
from seaproof.drivers.process import ProcessDriver
from seaproof.project import FolderImage
from seaproof.storage.local import LocalStorage
from seaproof.storage.storage import Address


class HangingStorage(LocalStorage):
    """Local storage that stands still in the middle: the second download, or any upload."""

    def __init__(self, root: Path, where: str) -> None:
        super().__init__(root)
        self._where = where
        self._downloads = 0

    def open(self, address: Address) -> BinaryIO:
        self._downloads += 1
        if self._where == "download" and self._downloads == 2:
            self._hang()
        return super().open(address)

    def upload(self, source: Path, address: Address) -> None:
        if self._where == "upload":
            self._hang()
        super().upload(source, address)

    def _hang(self) -> None:
        (self.root.parent / "hangs").touch()
        threading.Event().wait()


def process_driver(state: Path, program: Path) -> ProcessDriver:
    """A driver whose image `trainer` is the folder `program`."""
    image = FolderImage(folder=program, train=(sys.executable, "train.py"))
    return ProcessDriver(state, {"trainer": image})


def main(arguments: Sequence[str]) -> None:
    state, program, where, given = arguments
    plane = open_plane(Path(state), driver=process_driver(Path(state), Path(program)))
    object.__setattr__(plane, "storage", HangingStorage(Path(state) / "s3", where))
    request = json.loads(given)
    (create_processing_job if "ProcessingJobName" in request else create_training_job)(plane, request)
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
