"""Answers 503 in the place of a worker that was killed.

The connections of a process end with it, and nobody is left who could write. Unless somebody shares its table of open
files: a guardian is forked from its worker with CLONE_FILES, does nothing while the worker lives, and has the worker's
connections in its hands when that is gone. Whoever waits there for an answer of which nothing went out gets a 503; a
connection on which an answer had begun breaks off, as it must. The worker keeps a ledger of how far each has come.
What a guardian answers is counted and logged like any other answer, but for what died with the worker: how long it
took.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

from seaproof.contract import http
from seaproof.errors import RequestError
from seaproof.http import encode
from seaproof.http.ledger import SIZE, Ledger, Standing
from seaproof.serving import metrics
from seaproof.serving.accesslog import guardians_line, write_at_once
from seaproof.serving.children import kill
from seaproof.serving.replies import error_reply, log

_CLONE = {"x86_64": 56, "aarch64": 220}
"""Number of the system call clone, whose arguments but the first are 0 here, so that their order is no matter."""
_CLONE_FILES = 0x400
_PR_SET_PDEATHSIG = 1
ON_ITS_WAY = 0.1
"""Seconds in which requests still arrive that were sent before their client could know."""
LINGER = 1.0
"""Seconds in which clients that still send may read their answer; a reset would take it from them."""


@dataclass(frozen=True)
class Guardian:
    """A process beside this one, and what it is to know."""

    pid: int
    ledger: Ledger

    def dismiss(self) -> None:
        """End it, where the worker ends in good order."""
        kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def guard(worker: int, port: int, *, logs: bool = True) -> Guardian | None:
    """Put a guardian beside this process, which must have one thread only; None where the system cannot.
    `port` is the one that its connections were made to; `logs`: whether its answers go to the access log.

    Called before anything is loaded: what the worker writes to from then on, the guardian would keep a copy of.
    """
    number = _CLONE.get(os.uname().machine)
    if sys.platform != "linux" or number is None:
        return None
    memory = mmap.mmap(-1, SIZE)
    ledger = Ledger(memoryview(memory), port)
    guarded = os.getpid()
    system = ctypes.PyDLL(None, use_errno=True)  # one that keeps the GIL, which the guardian is born with
    pid = system.syscall(number, _CLONE_FILES | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        try:
            _watch(system, guarded, worker, ledger, logs)
        finally:
            os._exit(0)  # whatever happened: it must never go on as a second worker
    if pid < 0:
        log.warning("requests on a worker that is killed will break off: %s", os.strerror(ctypes.get_errno()))
        return None
    return Guardian(pid, ledger)


def _watch(system: ctypes.PyDLL, guarded: int, worker: int, ledger: Ledger, logs: bool) -> None:
    """In the guardian: wait until the worker is gone, then answer for it."""
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    system.prctl(_PR_SET_PDEATHSIG, signal.SIGUSR1, 0, 0, 0)
    while os.getppid() == guarded:
        signal.sigtimedwait({signal.SIGUSR1}, 60)
    ward = _Ward(worker)  # only now: until then the file that its selector is would have been the worker's as well
    told = ward.end(ledger)
    if told:
        log.error("worker %d is gone; %d requests that were in flight on it were answered 503", worker, told)
    if logs:
        write_at_once(ward.lines)


def _reply() -> tuple[bytes, bytes]:
    """Head and body."""
    error = RequestError(
        503,
        "the worker that had this request ended before it could answer",
        where=http.INVOCATIONS,
        next_step="Send the request again, if it may be predicted twice; the log of the container says how it ended.",
        headers={"Retry-After": "1"},
    )
    response = error_reply(error)
    head, _, _ = encode.whole_head(response, False, False, False)
    return head, bytes(response.body)  # type: ignore[arg-type]


class _Ward:
    """The connections of a worker that is gone."""

    def __init__(self, worker: int) -> None:
        self.lines: list[bytes] = []
        """For the access log."""
        self._worker = worker
        self._meter = metrics.become_guardian(worker)
        self._head, self._body = _reply()
        self._selector = selectors.DefaultSelector()
        self._told = 0

    def end(self, ledger: Ledger) -> int:
        """Answer and close them all; how many were answered."""
        for connection, standing in ledger.standing():
            if standing is Standing.BEGUN:
                self._meter.add(metrics.BROKEN_OFF)
                connection.close()
                continue
            self._selector.register(connection, selectors.EVENT_READ, standing is Standing.IDLE)
            if standing is Standing.OWED:
                self._tell(connection)
        self._read(ON_ITS_WAY)
        for key in list(self._selector.get_map().values()):
            if key.data:
                self._shut(key.fileobj)  # type: ignore[arg-type]
        self._read(LINGER)
        return self._told

    def _tell(self, connection: socket.socket, request: bytes = b"") -> None:
        """Answer 503; `request` is as much of it as the worker had not read."""
        reply = self._head + self._body
        with suppress(OSError):  # the client has left
            if connection.send(reply) == len(reply):
                self._told += 1
                self._note(request)
        self._shut(connection)

    def _note(self, request: bytes) -> None:
        # What the worker had read is gone with it. What waits for an answer was sent there: all else has one at once.
        line = request.partition(b"\r\n")[0].decode("latin-1").split(" ")
        method, target = line[:2] if len(line) == 3 and line[1].startswith("/") else ("POST", http.INVOCATIONS)
        path = target.partition("?")[0]
        self._meter.answered(path, 503)
        self._meter.add(metrics.BYTES_OUT, len(self._body))
        self.lines.append(guardians_line(method, path, 503, len(self._body), self._worker))

    def _shut(self, connection: socket.socket) -> None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        self._selector.modify(connection, selectors.EVENT_READ, False)

    def _read(self, seconds: float) -> None:
        """For so long, or until all clients have closed: take what they send, and answer what comes on idle ones."""
        deadline = time.monotonic() + seconds
        over = False
        while self._selector.get_map() and not over:
            left = deadline - time.monotonic()
            over = left <= 0  # one more look: what came in time may have found this process without a processor
            for key, _ in self._selector.select(max(0.0, left)):
                connection: socket.socket = key.fileobj  # type: ignore[assignment]
                came = _take(connection)
                if came == b"":
                    self._selector.unregister(connection)
                    connection.close()
                elif key.data:
                    self._tell(connection, came or b"")


def _take(connection: socket.socket) -> bytes | None:
    """Read what came: nothing where the client has closed, None where there may be something later."""
    try:
        return connection.recv(65536)
    except BlockingIOError:
        return None
    except OSError:
        return b""
