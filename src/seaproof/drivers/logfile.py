"""Reading the file that a workload's output goes to, while it grows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

_PIECE = 256 * 1024
_POLL = 0.05


def read_log(path: Path, *, offset: int, follow: bool, ended: Callable[[], bool]) -> Iterator[bytes]:
    """The bytes of `path` from `offset` on; with `follow` until `ended` says so and the file is read to its end."""
    try:
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        return
    with file:
        file.seek(offset)
        while True:
            # Asked before reading: what was written before the end is then surely read after it.
            last = not follow or ended()
            while piece := file.read(_PIECE):
                yield piece
            if last:
                return
            time.sleep(_POLL)
