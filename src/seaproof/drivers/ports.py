"""Ports of this machine for programs that will listen on them once they have been started."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress
from pathlib import Path

_OURS = 12_000
"""How many ports below those of the system are chosen from."""
_FIRST_OF_ALL = 1024
_TRIES = 100


def free_port() -> int:
    """A port that is free, and that the system gives to nobody by itself.

    Until the program listens on it, seconds may go by, in which others ask the system for any port: so it is none of
    those that it gives them (/proc/sys/net/ipv4/ip_local_port_range).
    """
    first = _first_of_the_system()
    lowest = max(_FIRST_OF_ALL, first - _OURS)
    for _ in range(_TRIES if first > lowest else 0):
        port = lowest + secrets.randbelow(first - lowest)
        with suppress(OSError):
            return _bound(port)
    return _bound(0)


def _bound(port: int) -> int:
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", port))
        found: int = probe.getsockname()[1]
        return found


def _first_of_the_system() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768
