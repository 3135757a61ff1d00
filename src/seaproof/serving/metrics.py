"""What a container counts: cells in memory that all of its processes share, one row of them for each worker.

Every worker adds to its own row and to no other, so that nothing is locked; a scrape, which reaches one worker only,
sums up the rows of all. The row belongs to the place of the worker and not to its process:
a worker that replaces a dead one goes on counting where that ended. `exposition` makes text of it.
"""

from __future__ import annotations

import mmap
import os
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, MutableSequence
from pathlib import Path
from typing import Any

from seaproof.contract import http

ROUTES = (
    http.INVOCATIONS,
    http.PING,
    http.EXECUTION_PARAMETERS,
    http.METRICS,
    http.MODELS,
    f"{http.MODELS}/{{name}}",
    f"{http.MODELS}/{{name}}/invoke",
    "other",
)
"""Labels of requests: paths of callers are never labels, for there is no end to them."""
FIRST_STATUS, STATUSES = 200, 401
"""So many cells for each route: one for each status from 200 on, and a last one for all others."""
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 16384.0)
_TIMED = len(SECONDS) + 2  # a last bucket without bound, and the sum
_SIZED = len(SIZES) + 2

REQUESTS = 0
DURATIONS = REQUESTS + len(ROUTES) * STATUSES
QUEUED = DURATIONS + len(ROUTES) * _TIMED
BATCH_ROWS = QUEUED + _TIMED
BATCH_REQUESTS = BATCH_ROWS + _SIZED
_SINGLE = BATCH_REQUESTS + _SIZED
BYTES_IN, BYTES_OUT, BROKEN_OFF, REFUSED, DEATHS, IN_FLIGHT, QUEUE_DEPTH, PID, LOAD_SECONDS, MODELS, MODEL_BYTES = (
    range(_SINGLE, _SINGLE + 11)
)
CELLS = _SINGLE + 11
OF_THE_PROCESS = (IN_FLIGHT, QUEUE_DEPTH, PID)
"""What ends with a process, where all else is counted on."""
_OTHER = len(ROUTES) - 1
_KNOWN: Mapping[str, int] = {path: at for at, path in enumerate(ROUTES[:5])}


class Meter:
    """The row of one process. Each method is called from one thread: all of them from the event loop, but for
    `batch`, which is called from where predictions run."""

    __slots__ = ("cells",)

    def __init__(self, cells: MutableSequence[float]) -> None:
        self.cells = cells

    def requests(self, path: str, status: int, seconds: list[float]) -> None:
        """Count answers that took so many seconds each."""
        route = self.answered(path, status, len(seconds))
        self._times(DURATIONS + route * _TIMED, seconds)

    def answered(self, path: str, status: int, number: int = 1) -> int:
        """Count answers of which nobody knows how long they took; the number of their route."""
        route = _KNOWN.get(path)
        if route is None:
            route = _route(path)
        at = status - FIRST_STATUS
        self.cells[route * STATUSES + (at if 0 <= at < STATUSES - 1 else STATUSES - 1)] += number
        return route

    def queued(self, seconds: list[float]) -> None:
        """Count how long requests waited before work on them began."""
        self._times(QUEUED, seconds)

    def _times(self, start: int, seconds: list[float]) -> None:
        """Add to a histogram of times; many at once cost little more than one."""
        cells, below = self.cells, 0
        cells[start + _TIMED - 1] += sum(seconds)
        seconds.sort()
        for bucket, bound in enumerate(SECONDS):
            until = bisect_right(seconds, bound, below)
            if until > below:
                cells[start + bucket] += until - below
                below = until
        cells[start + len(SECONDS)] += len(seconds) - below

    def batch(self, rows: int, requests: int) -> None:
        """Count one call of the model for several requests."""
        cells = self.cells
        for start, size in ((BATCH_ROWS, rows), (BATCH_REQUESTS, requests)):
            cells[start + bisect_left(SIZES, size)] += 1.0
            cells[start + _SIZED - 1] += size

    def add(self, cell: int, amount: float = 1.0) -> None:
        """Add to a single cell."""
        self.cells[cell] += amount

    def set(self, cell: int, value: float) -> None:
        """Set a single cell."""
        self.cells[cell] = value

    def end(self) -> None:
        """The process of this row has ended."""
        for cell in OF_THE_PROCESS:
            self.cells[cell] = 0.0


class Board:
    """The rows of a container: that of the master first, then those of its workers, then those of their guardians."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.rows = 2 * workers + 1
        # Anonymous and shared: those that are forked from here have it too, and it ends with the last of them.
        self._cells: Any = memoryview(mmap.mmap(-1, self.rows * CELLS * 8)).cast("d")

    def meter(self, row: int) -> Meter:
        """The row of the master (0), of a worker (from 1), or of a guardian (after all workers)."""
        return Meter(self._cells[row * CELLS : (row + 1) * CELLS])

    def read(self) -> list[list[float]]:
        """A copy of all rows."""
        return [self._cells[row * CELLS : (row + 1) * CELLS].tolist() for row in range(self.rows)]


_board = Board(0)
_own = _board.meter(0)


def start(workers: int) -> None:
    """In the master, before it forks: make room for so many workers."""
    global _board
    _board = Board(workers)
    become(0)


def become(row: int) -> Meter:
    """This process is the master (0) or a worker (from 1) from now on."""
    global _own
    _own = _board.meter(row)
    _own.set(PID, os.getpid())
    return _own


def become_guardian(row: int) -> Meter:
    """This process answers for a worker that is gone, whose successor counts in its row by now."""
    global _own
    _own = _board.meter(_board.workers + row)
    return _own


def died(row: int) -> None:
    """In the master: the process of this worker has ended, and not because it was told to."""
    _board.meter(row).end()
    _own.add(DEATHS)


def board() -> Board:
    """The rows of this container."""
    return _board


def own() -> Meter:
    """The row of this process."""
    return _own


def observe_batch(rows: int, requests: int) -> None:
    """One call of the model was made with so many rows, of so many requests; from one thread of a process only."""
    _own.batch(rows, requests)


def set_queue_depth(requests: int) -> None:
    """So many requests wait in this process now."""
    _own.set(QUEUE_DEPTH, requests)


def observe_load(seconds: float, memory: int) -> None:
    """A model was loaded into this process, which grew by so many bytes."""
    _own.set(LOAD_SECONDS, seconds)
    set_models(1, memory)


def resident() -> int:
    """Bytes of memory that this process has now; 0 where the kernel does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
    except OSError:
        return 0


def set_models(loaded: int, memory: int) -> None:
    """So many models are loaded in this process now, and take so many bytes together."""
    _own.set(MODELS, loaded)
    _own.set(MODEL_BYTES, memory)


def _route(path: str) -> int:
    if not path.startswith(http.MODELS + "/"):
        return _OTHER
    # Names may hold slashes; of what is invoked it is known all the same.
    return 6 if path.endswith("/invoke") and path.count("/") >= 3 else 5 if path.count("/") == 2 else _OTHER
