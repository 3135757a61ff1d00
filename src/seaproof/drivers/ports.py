"""A port of this machine for a program that is about to listen on it."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from pathlib import Path

LOWEST = 15_000
"""Above those that services are usually found on."""
_GIVEN = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 200


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens.

    It lies below those that the system gives to whoever asks for any, where there are such: one of these might be
    given away before the program, which takes a second to start, has taken it.
    """
    for port in random.sample(range(LOWEST, _first_given()), _TRIES):
        with suppress(OSError):
            return _bound(port)
    return _bound(0)


def _first_given() -> int:
    """The lowest port that the system gives by itself."""
    try:
        first = int(_GIVEN.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        first = 32_768
    return max(first, LOWEST + _TRIES)


def _bound(port: int) -> int:
    """The port that can be bound when this one is asked for; OSError where none can."""
    with socket.socket() as probe:
        if port:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        bound: int = probe.getsockname()[1]
        return bound
