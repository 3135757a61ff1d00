"""The access log: one JSON line for each request, gathered on the event loop and written beside it.

A reader of standard output that stands still must not hold up the server: what cannot be written is dropped, and
the next line that can be written says how many were.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import threading
import time
from contextlib import suppress
from functools import lru_cache
from queue import SimpleQueue

from seaproof.contract import http
from seaproof.http.message import Request
from seaproof.serving.tracing import trace_id

EVERY = 0.2
"""Seconds for which lines are gathered."""
MOST = 20_000
"""Lines that may wait to be written; more are dropped."""
_ATOMIC = 4096  # what is written to a pipe in one go is not mixed with what other workers write (PIPE_BUF)
_PATH, _INFERENCE_ID = 256, 64  # characters that are shown; the platform allows no longer id
_ID = http.INFERENCE_ID.lower().encode()


class AccessLog:
    """Of one worker; made on its event loop, and closed there."""

    def __init__(self, worker: int, fd: int = 1) -> None:
        self._worker = worker
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._bunches: SimpleQueue[list[bytes] | None] = SimpleQueue()
        self._waiting = 0
        self._written = 0
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name="access log", daemon=True)
        self._thread.start()

    def add(self, request: Request, status: int, sent: int, seconds: float, queued: float | None, whole: bool) -> None:
        """One request was answered."""
        if self._waiting - self._written >= MOST:
            self._dropped += 1
            return
        line = (
            f'{{"time":"{_time(time.time())}","method":{_quoted(request.method)},"path":{_quoted(request.path[:_PATH])},'
            f'"status":{status},"bytes_in":{len(request.body)},"bytes_out":{sent},"duration_ms":{seconds * 1e3:.3f}'
        )
        if queued is not None:
            line += f',"queue_ms":{queued * 1e3:.3f}'
        for name, value in request.headers:
            if name == _ID:
                line += f',"inference_id":{_quoted(value.decode("latin-1")[:_INFERENCE_ID])}'
            elif name == b"traceparent" and (trace := trace_id(value.decode("latin-1"))):
                line += f',"trace_id":"{trace}"'
        if not whole:
            line += ',"complete":false'
        if self._dropped:
            line += f',"lines_dropped_before":{self._dropped}'
            self._dropped = 0
        self._lines.append(f'{line},"worker":{self._worker}}}\n'.encode())
        self._waiting += 1
        if self._timer is None:
            self._timer = self._loop.call_later(EVERY, self._hand_over)

    def close(self, patience: float = 1.0) -> None:
        """Write what is left, for so many seconds at most."""
        if self._timer is not None:
            self._timer.cancel()
            self._hand_over()
        self._bunches.put(None)
        self._thread.join(patience)

    def _hand_over(self) -> None:
        self._timer = None
        lines, self._lines = self._lines, []
        self._bunches.put(lines)

    def _work(self) -> None:
        while (lines := self._bunches.get()) is not None:
            for piece in pieces(lines):
                if not _write(self._fd, piece):
                    return  # nobody reads any more; what comes is dropped once enough of it waits
            self._written += len(lines)


def guardians_line(method: str, path: str, status: int, sent: int, worker: int) -> bytes:
    """The line of an answer that was given for a worker that is gone, and with it all that it knew of the request."""
    return (
        f'{{"time":"{_time(time.time())}","method":{_quoted(method)},"path":{_quoted(path[:_PATH])},"status":{status},'
        f'"bytes_out":{sent},"worker":{worker},"worker_gone":true}}\n'
    ).encode()


def write_at_once(lines: list[bytes], fd: int = 1) -> None:
    """Write the lines here and now; what nobody reads within a second is dropped."""
    with suppress(OSError):
        for piece in pieces(lines):
            # A pipe that can be written to has room for so much.
            if not select.select([], [fd], [], 1.0)[1]:
                return
            os.write(fd, piece)


def pieces(lines: list[bytes]) -> list[bytes]:
    """The lines in bunches that a pipe takes in one go; none is ever cut."""
    made: list[bytes] = []
    bunch: list[bytes] = []
    size = 0
    for line in lines:
        if bunch and size + len(line) > _ATOMIC:
            made.append(b"".join(bunch))
            bunch, size = [], 0
        bunch.append(line)
        size += len(line)
    return [*made, b"".join(bunch)] if bunch else made


def _write(fd: int, data: bytes) -> bool:
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # somebody who shares this pipe has made it so
            time.sleep(0.01)
        except OSError:
            return False
    return True


def _time(now: float) -> str:
    return f"{_second(int(now))}.{int(now % 1 * 1000):03d}Z"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


@lru_cache(maxsize=1024)
def _quoted(text: str) -> str:
    return json.dumps(text)
