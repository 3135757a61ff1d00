"""One job that runs containers on hosts, as its steps see it: the record, its history, and the folders of its hosts.

Keys of the record's body that Describe does not show: `_step` (the step it is in), `_hosts`, `_streams` (host -> log
stream), `_exits` (host -> how its container ended, in the order they did), `_failures` (host -> what it left about
its failure), `_full` (hosts whose disk was full when they failed), `_ending` (how the job will end), `_kept` (folders
that were left because saving failed).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from seaproof.control.job_endings import Ending
from seaproof.control.job_record import JobRecord
from seaproof.control.store import Body
from seaproof.drivers.driver import Handle


@dataclass(frozen=True)
class ContainerJob(JobRecord):
    """One job under way. Its `noun` is also the step that runs the containers."""

    living: Mapping[str, Handle] = field(default_factory=dict)
    """Workload name -> handle of what the driver found after a restart of the coordinator."""

    def workload(self, host: str) -> str:
        """The name of the workload of one host; also the name of its folder."""
        return f"{self.noun.lower()}-{self.name}-{host}"

    def root(self, host: str) -> Path:
        """The folder that one host sees as /opt/ml."""
        return self.plane.opt_ml(self.workload(host))

    def roots(self) -> list[Path]:
        """The /opt/ml of every host, in host order."""
        return [self.root(host) for host in self.body()["_hosts"]]

    def log(self, host: str, stream: str) -> Path:
        """The log file of one host."""
        return self.plane.log_file(f"{self.noun}Jobs", self.name, stream)

    def inputs(self, root: Path) -> Sequence[Path]:
        """The folders below a host's /opt/ml that hold nothing but copies of input."""
        raise NotImplementedError

    def make_room(self) -> None:
        """The copies of the input can be had again."""
        self.drop_inputs()

    def drop_inputs(self) -> None:
        """Remove the copies of the input."""
        for root in self.roots():
            for folder in self.inputs(root):
                shutil.rmtree(folder, ignore_errors=True)

    def remove_folders(self) -> None:
        """Remove all hosts' folders; what cannot be removed is no reason to fail a job."""
        for root in self.roots():
            shutil.rmtree(root, ignore_errors=True)


def ending_of(body: Body) -> Ending | None:
    """How the job will end, where that is decided."""
    given = body.get("_ending")
    return Ending(**given) if given else None


def note_ending(job: ContainerJob, ending: Ending) -> None:
    """Decide how the job will end."""
    job.set("_ending", asdict(ending))
