"""One training job as its steps see it: the record, its history, and the folders of its hosts.

Keys of the record's body that Describe does not show: `_step` (the step it is in), `_hosts`, `_streams` (host -> log
stream), `_exits` (host -> how its container ended, in the order they did), `_failures` (host -> text of
output/failure), `_full` (hosts whose disk was full when they failed), `_ending` (how the job will end), `_kept`
(folders that were left because saving failed).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from seaproof.contract.opt_ml import OptMl
from seaproof.control.plane import Plane
from seaproof.control.store import Body, Record
from seaproof.control.training_status import KIND, STOPPING, Ending
from seaproof.drivers.driver import Handle
from seaproof.errors import SeaproofError, StoreError

_RETRY = 1.0


@dataclass(frozen=True)
class Job:
    """One training job under way."""

    plane: Plane
    name: str
    living: Mapping[str, Handle] = field(default_factory=dict)
    """Workload name -> handle of what the driver found after a restart of the coordinator."""

    def record(self) -> Record:
        """The record as it is now."""
        found = self.plane.store.get(KIND, self.name)
        if found is None:
            raise SeaproofError(f"the training job {self.name} is gone from the store")
        return found

    def body(self) -> Body:
        """The body of the record as it is now."""
        return self.record().body

    def update(self, change: Callable[[Body], None]) -> None:
        """Change the record's body, at last also where the disk of the store is full."""
        self.insist(partial(self.plane.store.update, KIND, self.name, change))

    def set(self, key: str, value: object) -> None:
        """Set one key of the record's body."""
        self.update(lambda body: body.update({key: value}))

    def tell(self, type: str, message: str) -> None:
        """Add to the job's history."""
        self.insist(partial(self.plane.store.add_event, KIND, self.name, type, message))

    def is_stopping(self) -> bool:
        """Whether StopTrainingJob was called, or the coordinator shuts down."""
        return self.plane.closing.is_set() or self.record().status == STOPPING

    def workload(self, host: str) -> str:
        """The name of the workload of one host; also the name of its folder."""
        return f"training-{self.name}-{host}"

    def root(self, host: str) -> Path:
        """The folder that one host sees as /opt/ml."""
        return self.plane.opt_ml(self.workload(host))

    def roots(self) -> list[Path]:
        """The /opt/ml of every host, in host order."""
        return [self.root(host) for host in self.body()["_hosts"]]

    def log(self, host: str, stream: str) -> Path:
        """The log file of one host."""
        return self.plane.log_file("TrainingJobs", self.name, stream)

    def insist(self, write: Callable[[], object]) -> None:
        """Write to the store, again and again while its disk is full: the end of a job must not get lost."""
        while True:
            try:
                write()
                return
            except StoreError:
                self.drop_inputs()
                if self.plane.closing.wait(_RETRY):
                    return

    def drop_inputs(self) -> None:
        """Make room on the disk: the copies of the input can be had again."""
        for root in self.roots():
            shutil.rmtree(OptMl(root).data, ignore_errors=True)

    def remove_folders(self) -> None:
        """Remove all hosts' folders; what cannot be removed is no reason to fail a job."""
        for root in self.roots():
            shutil.rmtree(root, ignore_errors=True)


def ending_of(body: Body) -> Ending | None:
    """How the job will end, where that is decided."""
    given = body.get("_ending")
    return Ending(**given) if given else None


def note_ending(job: Job, ending: Ending) -> None:
    """Decide how the job will end."""
    job.set("_ending", asdict(ending))


def explain(error: Exception) -> str:
    """An exception as part of a FailureReason."""
    if isinstance(error, OSError):
        return f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    return str(error) or type(error).__name__
