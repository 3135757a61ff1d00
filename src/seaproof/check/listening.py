"""Which addresses the processes of a container listen on, read from /proc."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LISTEN = "0A"


@dataclass(frozen=True, order=True)
class Listener:
    """One listening TCP socket."""

    address: str
    port: int

    @property
    def everywhere(self) -> bool:
        """Whether it is reached from outside the container."""
        return not self.address.startswith("127.") and self.address != "::1"

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def listeners(pids: Iterable[int]) -> list[Listener]:
    """Those of these processes; sockets of others in the same network namespace are left out."""
    found: set[Listener] = set()
    for pid in pids:
        with suppress(OSError):
            own = _sockets(pid)
            for table in ("tcp", "tcp6"):
                for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                    fields = line.split()
                    if fields[3] == _LISTEN and fields[9] in own:
                        found.add(_listener(fields[1]))
    return sorted(found)


def _sockets(pid: int) -> set[str]:
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            target = str(entry.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    return inodes


def _listener(text: str) -> Listener:
    address, _, port = text.partition(":")
    raw = b"".join(bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return Listener(socket.inet_ntop(family, raw), int(port, 16))
