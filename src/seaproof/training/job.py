"""What a training program is told, with types: hyperparameters, channels, hosts, and where its results go.

from seaproof.training import Job

def train(job: Job) -> None:
    rate = job.hyperparameter("learning_rate", float, default=0.1)
    for file in job.files("train", "*.csv"):
        ...
    (job.model_dir / "model.json").write_text(...)
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

from seaproof.contract.environ import TrainingEnviron, is_true
from seaproof.contract.opt_ml import Channel, Cluster, OptMl, decode_hyperparameter, read_training
from seaproof.errors import ContractError

T = TypeVar("T")
_KINDS: dict[type[Any], str] = {
    int: "a whole number (int)",
    float: "a number (float)",
    bool: "true or false (bool)",
    list: "a JSON list",
    dict: "a JSON object (dict)",
}
_LISTED = 5
_FALSE = ("false", "0", "no", "off")
_REQUIRED: Any = object()


class Stopping:
    """The request to stop, which SIGTERM makes; `used` is whether the program looks at it at all."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.used = False


STOPPING = Stopping()


@dataclass(frozen=True)
class Job:
    """One training job, as one of its hosts sees it."""

    root: Path
    """/opt/ml, or what stands in for it."""
    hyperparameters: Mapping[str, Any]
    """By name, decoded: numbers, booleans and lists as such, in whichever dialect the job was made."""
    raw_hyperparameters: Mapping[str, str]
    """The same as they were sent: texts."""
    channels: Mapping[str, Channel]
    cluster: Cluster
    name: str = ""
    arn: str = ""

    @classmethod
    def read(cls, environ: TrainingEnviron | None = None) -> Job:
        """Read the job from its files and its environment; ContractError for a file that is broken."""
        environ = environ or TrainingEnviron.read()
        root = Path(environ.base_dir)
        given = read_training(root)
        values = {name: decode_hyperparameter(text) for name, text in given.hyperparameters.items()}
        return cls(
            root=root,
            hyperparameters=values,
            raw_hyperparameters=given.hyperparameters,
            channels=given.channels,
            cluster=given.cluster,
            name=environ.job_name,
            arn=environ.job_arn,
        )

    @overload
    def hyperparameter(self, name: str) -> str: ...
    @overload
    def hyperparameter(self, name: str, kind: type[T], default: T = ...) -> T: ...

    def hyperparameter(self, name: str, kind: type[Any] = str, default: Any = _REQUIRED) -> Any:
        """One hyperparameter as `kind`: str, int, float, bool, list or dict. ContractError where it is missing and
        has no default, or is no such value."""
        if name not in self.hyperparameters:
            if default is not _REQUIRED:
                return default
            given = ", ".join(sorted(self.hyperparameters)) or "none"
            raise ContractError(
                f"the hyperparameter {name} is missing",
                where="hyperparameters.json",
                next_step=f"Give it when the job is created; given are: {given}.",
            )
        return _convert(name, self.hyperparameters[name], self.raw_hyperparameters[name], kind)

    def channel(self, name: str) -> Path:
        """The folder of an input channel. ContractError lists the channels there are."""
        if name not in self.channels:
            given = ", ".join(sorted(self.channels)) or "none"
            raise ContractError(
                f"there is no channel {name}",
                where="inputdataconfig.json",
                next_step=f"Give it when the job is created; channels are: {given}.",
            )
        return OptMl(self.root).channel(name)

    def files(self, channel: str, pattern: str = "*") -> list[Path]:
        """All files of a channel whose name matches the pattern, in its sub-folders too, sorted by path.

        ContractError where there is none.
        """
        folder = self.channel(channel)
        found = sorted(path for path in folder.rglob(pattern) if path.is_file())
        if not found:
            raise ContractError(
                f"no file of channel {channel} matches {pattern}",
                where=str(folder),
                next_step=f"{_listing(folder)} Look at the folder, file or prefix that the channel was given.",
            )
        return found

    @property
    def model_dir(self) -> Path:
        """What lies here at the end becomes model.tar.gz."""
        return _made(OptMl(self.root).model)

    @property
    def output_data_dir(self) -> Path:
        """What lies here at the end becomes output.tar.gz."""
        return _made(OptMl(self.root).output_data)

    @property
    def checkpoint_dir(self) -> Path:
        """Restored before the start, saved while the job runs."""
        return _made(OptMl(self.root).checkpoints)

    @property
    def hosts(self) -> tuple[str, ...]:
        """All hosts of the job, sorted as text."""
        return self.cluster.hosts

    @property
    def current_host(self) -> str:
        """This host."""
        return self.cluster.current_host

    @property
    def rank(self) -> int:
        """The place of this host among all, from 0."""
        return self.cluster.hosts.index(self.cluster.current_host)

    @property
    def is_leader(self) -> bool:
        """Whether this is the first host; the one to write what only one should write."""
        return self.rank == 0

    @property
    def stopping(self) -> threading.Event:
        """Set when the job is to stop. A program that has asked for it is not interrupted, and has two minutes."""
        STOPPING.used = True
        return STOPPING.event


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _listing(folder: Path) -> str:
    """A sentence on what a channel holds."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"The channel holds {', '.join(names[:_LISTED])}{more}." if names else "The channel is empty."


def _convert(name: str, value: Any, raw: str, kind: type[Any]) -> Any:
    """The decoded value as `kind`; a text that only looks like a number stays as it was sent."""
    if kind is str:
        return value if isinstance(value, str) else raw
    if kind is bool and str(value).strip().lower() in ("true", "1", "yes", "on", *_FALSE):
        return is_true(str(value))
    text_of = value if isinstance(value, str) else raw
    try:
        if kind is int:
            return _whole(text_of)
        if kind is float:
            return float(text_of)
    except ValueError:
        pass
    if kind not in (bool, int, float) and isinstance(value, kind):
        return value
    raise ContractError(
        f"the hyperparameter {name} is {raw!r}, and not {_KINDS.get(kind, kind.__name__)}",
        where="hyperparameters.json",
        next_step="Correct it where the job is created.",
    )


def _whole(text: str) -> int:
    """`100`, and `100.0` too: tuning jobs and spreadsheets write whole numbers so."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if number != int(number):
            raise ValueError(text) from None
        return int(number)
