"""The driver protocol: eight verbs that run a container image, and the records that pass through them.

A driver keeps nothing that is not in the `Handle` or found again by label: the coordinator may be killed at
any moment, and the next one must find everything that lives. `seaproof.testing.driver_contract` holds the
behaviour that every driver shares; read it beside this file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Workload:
    """What a driver is asked to run, with nothing left to resolve."""

    name: str
    """Unique among all that live in this project; letters, digits and hyphens, at most 200 characters."""
    image: str
    """Image reference as the request gave it; the driver maps it to what it has (a local tag, a folder)."""
    opt_ml: Path
    """Folder of the host that the workload sees as /opt/ml."""
    entrypoint: tuple[str, ...] | None = None
    """ContainerEntrypoint; None keeps the image's own."""
    arguments: tuple[str, ...] = ()
    """`train`, `serve`, or ContainerArguments; they replace the image's CMD."""
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    """The port that the program listens on (8080), or None for a job that serves nothing."""
    read_only: tuple[str, ...] = ()
    """Folders below /opt/ml that the workload may not write to, such as `model` when serving."""
    hostname: str | None = None
    """The name under which workloads of the same `network` reach this one, such as `algo-1`."""
    network: str | None = None
    """Workloads that give the same name here reach one another by hostname."""
    unresolved: tuple[str, ...] = ()
    """Hostnames of the network that must not resolve before their workload is started; the others may."""
    isolated: bool = False
    """EnableNetworkIsolation: no way out; the port stays reachable from the coordinator, peers from each other."""
    memory: int | None = None
    """Upper bound in bytes, or None."""
    processes: int | None = None
    """Upper bound of living processes, or None; who goes beyond it is held back or killed."""
    user: int | None = None
    """A user id (and group id) to run as, without the image's own say; None keeps the image's."""
    shared_memory: bool = True
    """Whether there is a /dev/shm that can be written to."""
    scratch: int | None = None
    """Bytes that /tmp can hold, or None for what the machine gives."""


@dataclass(frozen=True)
class Handle:
    """Proof that something runs; plain JSON, so that it survives a restart of the coordinator."""

    driver: str
    name: str
    id: str
    """The driver's own name for it: a container id, a process id with its start time."""
    host: str | None = None
    port: int | None = None
    """Where the coordinator reaches the workload's port; None for a job."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the driver needs to find it again; JSON values only. A `note` is a sentence for the history of
    what it runs for: how this driver, on this machine, does less than a container would."""

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Handle:
        """The inverse of `to_json`."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Exit:
    """How a workload ended: its code (137 for SIGKILL, as a shell counts), and whether memory ran out."""

    code: int
    out_of_memory: bool = False


@dataclass(frozen=True)
class Usage:
    """What a workload uses. `processes` are ids of this machine; empty where the engine does not run on it."""

    processes: tuple[int, ...] = ()
    written: int = 0
    """Bytes of its own file system that it has written so far, /opt/ml left out."""


@dataclass(frozen=True)
class Health:
    """Whether a driver works here; if not, why and what to do. `facts` are shown by `seaproof doctor`."""

    driver: str
    works: bool
    reason: str = ""
    next_step: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


class Driver(Protocol):
    """Where a workload runs. All methods may be called from any thread; errors are DriverError only."""

    name: str

    def check(self) -> Health:
        """Say whether this driver works on this machine, within a few seconds and without side effects."""
        ...

    def start(self, workload: Workload) -> Handle:
        """Start it and return as soon as it lives; it need not be ready.

        Raises ImageNotFound, StartFailed (what was tried, what the engine said) or DriverUnavailable. A name that
        is taken by a leftover of an earlier run is cleared away first. After a failure nothing is left behind.
        """
        ...

    def wait(self, handle: Handle, timeout: float | None = None) -> Exit | None:
        """Wait until it ends; None when it still runs after `timeout` seconds. May be asked again after the end.

        A handle that nothing is known of any more raises DriverError.
        """
        ...

    def stop(self, handle: Handle, grace: float) -> None:
        """SIGTERM, SIGKILL after `grace` seconds, then clear all of it away: children, container, network.

        Twice is fine, and so is a handle of something long gone. Afterwards `opt_ml` belongs to the caller.
        """
        ...

    def logs(self, handle: Handle, *, follow: bool = False, offset: int = 0) -> Iterator[bytes]:
        """Its output, stdout and stderr as they came, in pieces of any size, from byte `offset` on.

        With `follow` it goes on until the workload has ended. Readable until `stop` has cleared it away.
        """
        ...

    def at(self, state: Path) -> Driver:
        """The same driver for another state folder, possibly on another machine: it can be pickled until it is used."""
        ...

    def usage(self, handle: Handle) -> Usage:
        """What it uses at this moment; of something that has ended, nothing."""
        ...

    def recover(self) -> list[Handle]:
        """The full set of what lives, or has ended and was not stopped, of this project, whoever started it."""
        ...
