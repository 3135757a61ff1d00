"""Ports that test processes beside this one do not choose.

A port that the kernel gives, and that is free again until a server of the test binds it, may be given to somebody else
in between. These lie below those that the kernel and the drivers give, and each process of a run has a part of its own.
"""

from __future__ import annotations

import os
import random
import socket
from itertools import count

_FIRST, _SHARE, _PARTS = 10_000, 1_000, 5
_PART = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PARTS
_NEXT = count(random.SystemRandom().randrange(_SHARE))  # runs beside this one begin elsewhere


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens."""
    for number in _NEXT:
        port = _FIRST + _PART * _SHARE + number % _SHARE
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("count() never ends")
