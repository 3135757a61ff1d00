"""A port for a program that binds it itself, a moment after it was told.

One that the kernel gives, and that is free again until then, may be given to anybody in that moment. These lie below
those that the kernel gives, and whoever else asks here, in whatever process, is not given one that was given lately.
"""

from __future__ import annotations

import atexit
import random
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

_GIVEN_BY_THE_KERNEL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_SPAN = 8_192
_LOWEST = 10_000
_TRIES = 200
_CLAIM_SECONDS = 120.0
"""How long a program may take until it listens; then the port itself says that it is taken."""

_claims: dict[int, tuple[float, socket.socket]] = {}
_lock = threading.Lock()


def free_port() -> int:
    """A port on which nobody listens, on any address of this machine."""
    with _lock:
        _let_go(time.monotonic())
        for port in _candidates():
            claim = _claim(port)
            if claim is None:
                continue
            if _is_free(port):
                _claims[port] = (time.monotonic() + _CLAIM_SECONDS, claim)
                return port
            claim.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        given: int = probe.getsockname()[1]
        return given


def _candidates() -> list[int]:
    """Ports in any order; none where this system has no room for them, or no names for what is claimed."""
    first = 0
    with suppress(OSError, ValueError, IndexError):
        first = int(_GIVEN_BY_THE_KERNEL.read_text(encoding="ascii").split()[0])
    if sys.platform != "linux" or first - _SPAN < _LOWEST:
        return []
    return random.SystemRandom().sample(range(first - _SPAN, first), _TRIES)


def _claim(port: int) -> socket.socket | None:
    """A name in the kernel that one process can have, and that goes with it; None where another has it."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0seaproof port {port}")
    except OSError:
        claim.close()
        return None
    return claim


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


def _let_go(now: float = float("inf")) -> None:
    """Give up claims that are older."""
    for port, (until, claim) in list(_claims.items()):
        if until < now:
            claim.close()
            del _claims[port]


atexit.register(_let_go)
