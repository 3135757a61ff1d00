"""The first process of a multi-model container: forks the front, and a process for each model that the front asks for.

It runs no event loop and no thread, so that a fork is safe at any time, and it has imported what models share (the
container's own script, the codecs), so that their processes share that memory. It speaks with the front in lines of
JSON: `start` and `end` come, `started`, `ready` and `ended` go.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from seaproof.contract.environ import ServingEnviron, share_cpus
from seaproof.errors import SeaproofError, authors_traceback
from seaproof.serving import metrics
from seaproof.serving.children import ended, how, kill, reap_strangers
from seaproof.serving.codecs import preload
from seaproof.serving.front import run_front
from seaproof.serving.loading import settle
from seaproof.serving.master import FAILED, Leave, leave, said
from seaproof.serving.model_process import CommonCode, Order, import_common, run_model
from seaproof.serving.replies import log
from seaproof.serving.sockets import bind
from seaproof.serving.worker import DRAIN, READY


def serve_models(environ: ServingEnviron) -> int:
    """Serve until SIGTERM, any number of models; the exit code of the container. What the container's own script
    raises when it is imported goes to the log; ContractError where the port cannot be used."""
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    (listener,) = bind(environ.port, 1)
    share_cpus(environ.workers)
    metrics.start(1)  # the front; each model has counts of its own
    try:
        common = import_common(environ)
        preload()
        settle()
    except (Leave, SeaproofError):
        raise
    except BaseException as error:
        sys.stderr.write(authors_traceback(error))
        log.error("the container ends before it is ready: %s", said(error))
        return FAILED
    return Nursery(environ, common, listener).run()


_LAST = 2000
"""Bytes that are kept of what a process writes to standard error."""


@dataclass
class _Child:
    """The process of one model."""

    number: int
    pid: int
    status: int
    """File descriptor on which it says that it is ready, or why not."""
    errors: int
    """File descriptor of what it writes to standard error while it loads."""
    said: bytes = b""
    last: bytes = b""
    """The end of what it wrote there."""
    ready: bool = False


class Nursery:
    """The processes of a multi-model container, as their parent sees them."""

    def __init__(self, environ: ServingEnviron, common: CommonCode | None, listener: socket.socket) -> None:
        self._environ = environ
        self._common = common
        # Abstract names, which end with their sockets: files would stay behind where all of this is killed.
        self._names = f"\0seaproof-{os.getpid()}-{secrets.token_hex(8)}"
        self._listener = listener
        self._children: dict[int, _Child] = {}
        self._selector = selectors.DefaultSelector()
        self._lifeline_read, self._lifeline_write = os.pipe()
        self._channel, self._fronts_end = socket.socketpair()
        self._heard = b""
        self._front = 0
        self._code: int | None = None
        """How the front ended."""
        self._deadline = float("inf")
        self._ending = False

    def run(self) -> int:
        """Run to the end of the container; its exit code."""
        woken = self._watch_signals()
        self._front = self._fork(self._be_front)
        if self._ending:  # it began before the front was known
            kill(self._front, signal.SIGTERM)
        self._fronts_end.close()
        self._listener.close()
        self._selector.register(self._channel, selectors.EVENT_READ)
        while self._code is None:
            pause = None if self._deadline == float("inf") else max(0.0, self._deadline - time.monotonic())
            for key, _ in self._selector.select(pause):
                if key.fileobj is woken:
                    woken.recv(4096)
                elif key.fileobj is self._channel:
                    self._hear()
                elif key.fd == key.data.errors:
                    self._hand_on(key.data)
                else:
                    self._listen(key.data)
            self._reap()
            if time.monotonic() >= self._deadline:
                log.error("requests did not end in time; the container ends without them")
                kill(self._front, signal.SIGKILL)
        self._bury()
        return self._code

    def _watch_signals(self) -> socket.socket:
        """Let SIGTERM, SIGINT and the death of a child wake the selector."""
        reader, self._waker = socket.socketpair()
        reader.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(reader, selectors.EVENT_READ)
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        signal.signal(signal.SIGINT, lambda *_: self._end())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        return reader

    def _end(self) -> None:
        """Begin the end: the front lets requests finish; models live as long as it does."""
        if not self._ending:
            self._ending = True
            self._deadline = time.monotonic() + DRAIN + 1.0
            if self._front:
                kill(self._front, signal.SIGTERM)

    def _fork(self, live: Callable[[], int]) -> int:
        """Fork a child that does this and ends; its process id."""
        sys.stdout.flush()
        sys.stderr.flush()
        # Blocked until the child is itself: a signal must not run the parent's handler in it.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
        pid = os.fork()
        if pid == 0:
            self._live(live)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
        return pid

    def _live(self, live: Callable[[], int]) -> NoReturn:
        """In the child."""
        code = FAILED
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
            self._selector.close()
            self._channel.close()
            os.close(self._lifeline_write)
            for child in self._children.values():
                os.close(child.status)
                os.close(child.errors)
            code = live()
        except SeaproofError as error:
            log.error("%s", error)
        except BaseException as error:
            sys.stderr.write(authors_traceback(error))
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _be_front(self) -> int:
        own = (os.getppid(), os.getpid())
        return run_front(self._environ, self._listener, self._fronts_end, own)

    def _hear(self) -> None:
        """Do what the front asks for."""
        try:
            data = self._channel.recv(65536)
        except ConnectionError:
            data = b""
        if not data:  # it has ended, which is seen elsewhere
            self._selector.unregister(self._channel)
            return
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if order["order"] == "start":
                self._start(order)
            elif child := self._children.get(order["number"]):
                kill(child.pid, order["signal"])

    def _start(self, asked: dict[str, Any]) -> None:
        number = asked["number"]
        read, write = os.pipe()
        errors, stderr = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(errors, False)
        # Workers that accept from one shared socket would not share the load: the first to wake takes all that wait.
        sockets = [f"{self._names}/{number}.{worker}" for worker in range(self._environ.workers)]
        order = Order(asked["folder"], asked["name"], asked["room"], sockets, write, self._lifeline_read, stderr)

        def live() -> int:
            os.close(read)
            os.close(errors)
            return run_model(order, self._environ, self._common)

        pid = self._fork(live)
        os.close(write)
        os.close(stderr)
        child = self._children[number] = _Child(number, pid, read, errors)
        self._selector.register(read, selectors.EVENT_READ, child)
        self._selector.register(errors, selectors.EVENT_READ, child)
        self._tell({"event": "started", "number": number, "pid": pid, "sockets": sockets})

    def _listen(self, child: _Child) -> None:
        """A model's process said something, or closed its pipe."""
        data = os.read(child.status, 65536)
        if not data:
            self._selector.unregister(child.status)
            return
        child.said += data
        if child.said == READY and not child.ready:
            child.ready = True
            self._tell({"event": "ready", "number": child.number})

    def _hand_on(self, child: _Child) -> None:
        """A model's process wrote to standard error while it loads: write it there, and keep its end in mind."""
        try:
            data = os.read(child.errors, 65536)
        except BlockingIOError:  # a process of the author's still holds the other end
            return
        if data:
            os.write(sys.stderr.fileno(), data)
            child.last = (child.last + data)[-_LAST:]
        else:
            self._selector.unregister(child.errors)

    def _reap(self) -> None:
        """Find the processes that have ended."""
        for child in list(self._children.values()):
            code = ended(child.pid)
            if code is not None:
                self._mourn(child, code)
        if (code := ended(self._front)) is not None:
            self._code = code if code >= 0 else 128 - code
            if not self._ending:
                log.error("the front process %s, and with it the container ends", how(code))
        elif os.getpid() == 1:  # the first process of a container inherits what others leave behind
            reap_strangers({self._front, *(child.pid for child in self._children.values())})

    def _mourn(self, child: _Child, code: int) -> None:
        try:
            while data := os.read(child.status, 65536):
                child.said += data
        except BlockingIOError:  # a process of the author's still holds the other end
            pass
        if child.errors in self._selector.get_map():
            self._hand_on(child)
        for fd in (child.status, child.errors):
            if fd in self._selector.get_map():
                self._selector.unregister(fd)
            os.close(fd)
        del self._children[child.number]
        reason = json.loads(child.said) if child.said.startswith(b"{") else None
        last = child.last.decode("utf-8", "replace").strip()
        self._tell({"event": "ended", "number": child.number, "code": code, "reason": reason, "last": last})

    def _tell(self, event: dict[str, Any]) -> None:
        try:
            self._channel.sendall(json.dumps(event).encode() + b"\n")
        except OSError:  # the front has ended, which is seen elsewhere
            return

    def _bury(self) -> None:
        """End the models: nobody is left to ask them anything."""
        for child in self._children.values():
            kill(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + 2.0
        while self._children and time.monotonic() < deadline:
            for child in list(self._children.values()):
                if ended(child.pid) is not None:
                    del self._children[child.number]
            self._selector.select(0.02)
        for child in self._children.values():
            kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
