"""When a piece of a log was written: a file of `<offset> <milliseconds>` lines beside it.

A log file holds what a workload printed and nothing else. CloudWatch gives each line a time, and clients ask by time;
so whoever copies a workload's output notes where in the file which moment begins.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".times"


class Clock:
    """Notes the times of one log file while it is written; not more than one per 20 ms."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.with_suffix(SUFFIX).open("ab", buffering=0)
        self._noted = 0.0

    def note(self, offset: int) -> None:
        """What the log holds from `offset` on was printed now."""
        now = time.time()
        if now - self._noted >= 0.02:
            self._file.write(b"%d %d\n" % (offset, now * 1000))
            self._noted = now

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> tuple[list[int], list[int]]:
    """The offsets of a log at which a time begins, and those times in milliseconds since the epoch; both ascend."""
    offsets: list[int] = []
    times: list[int] = []
    try:
        lines = path.with_suffix(SUFFIX).read_bytes().splitlines()
    except FileNotFoundError:
        lines = []
    for line in lines:
        offset, _, moment = line.partition(b" ")
        if offset.isdigit() and moment.isdigit():
            offsets.append(int(offset))
            times.append(max(int(moment), times[-1] if times else 0))
    return offsets, times


def at(offsets: list[int], times: list[int], offset: int, default: int) -> int:
    """The time of what lies at `offset`; `default` where nothing was noted."""
    place = bisect_right(offsets, offset) - 1
    return times[place] if place >= 0 else default
