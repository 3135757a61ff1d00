"""What the process driver's supervisor is to run, and the files of a workload that both sides know.

Standard library only: it is read in the supervisor too.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HANDLE, SPEC, LOG, EXIT = "handle.json", "spec.json", "log", "exit.json"


@dataclass(frozen=True)
class Spec:
    """What the supervisor is to run; JSON on disk."""

    name: str
    command: list[str]
    environment: dict[str, str]
    opt_ml: str
    folder: str
    program: str
    namespaces: bool
    own_network: bool = False
    join_network: str = ""
    """A process (as str) whose network this workload shares; it must live."""
    port: int | None = None
    """The port that the program listens on, inside."""
    host_port: int | None = None
    read_only: tuple[str, ...] = ()
    hostname: str | None = None
    network: str | None = None
    unresolved: tuple[str, ...] = ()
    isolated: bool = False
    hosts: str = ""
    """A file to be seen as /etc/hosts."""
    visible: tuple[str, ...] = ()
    memory: int | None = None
    processes: int | None = None
    user: int | None = None
    shared_memory: bool = True
    scratch: int | None = None
    note: str = ""
    """What is not as in a container, to be told to whoever started it."""

    def write(self, folder: Path) -> None:
        """Keep it for the supervisor, and for a later coordinator."""
        (folder / SPEC).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Spec:
        """The inverse of `write`."""
        values: dict[str, Any] = json.loads((folder / SPEC).read_text(encoding="utf-8"))
        for key in ("read_only", "visible", "unresolved"):
            values[key] = tuple(values.get(key, ()))
        return cls(**values)
