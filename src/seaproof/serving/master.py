"""The master process: loads the model, forks the workers, replaces those that die, and ends all of them.

A worker that dies before it was ever ready ends the container: it would die again. One that dies later is replaced,
at once the first time and with growing pauses where it keeps dying. The master itself never runs an event loop and
never predicts, so that a fork finds no thread of ours.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from seaproof.contract.environ import ServingEnviron, share_cpus
from seaproof.errors import SeaproofError, authors_traceback
from seaproof.serving import metrics
from seaproof.serving.children import ended, how, kill, reap_strangers
from seaproof.serving.heap import keep_freed_memory
from seaproof.serving.herald import Herald
from seaproof.serving.loading import load_functions, load_predictor, settle
from seaproof.serving.pace import STUCK
from seaproof.serving.replies import log
from seaproof.serving.sockets import bind
from seaproof.serving.worker import DRAIN, LOADED, READY, Author, Wires, run_worker

STEADY = 10.0
"""Seconds after which a worker counts as healthy, and its earlier deaths no more."""
LONGEST_PAUSE = 10.0
HOPELESS = 5
"""So many deaths in a row without one worker being ready end the container."""
FAILED = 1


def serve(environ: ServingEnviron) -> int:
    """Serve until SIGTERM; the exit code of the container. What the author's code raises while it loads goes
    to the log; ContractError where the port or the script cannot be used."""
    began = time.monotonic()
    if environ.multi_model:
        from seaproof.serving.nursery import serve_models

        return serve_models(environ)
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    sockets = bind(environ.port, environ.workers)
    share_cpus(environ.workers)
    keep_freed_memory()
    metrics.start(environ.workers)
    herald = Herald(sockets[0])
    try:
        return _serve(environ, sockets, herald, began)
    finally:
        herald.end()


def _serve(environ: ServingEnviron, sockets: list[socket.socket], herald: Herald, began: float) -> int:
    try:
        author = load(environ)
    except (Leave, SeaproofError):
        raise
    except BaseException as error:
        sys.stderr.write(authors_traceback(error))
        log.error("the container ends before it is ready: %s", said(error))
        return FAILED
    what = author.functions.where if author.functions else "the model"
    return Master(author, environ, sockets, herald).run(
        lambda seconds: log.info(
            "serving %s on port %d with %s, ready after %.2f s",
            what,
            environ.port,
            "1 worker" if environ.workers == 1 else f"{environ.workers} workers",
            seconds - began,
        )
    )


def load(environ: ServingEnviron) -> Author:
    """Load the script and the model here, before the fork, as far as the author allows it."""
    if environ.load_after_fork:
        return Author()
    functions = load_functions(environ)
    if functions.load_after_fork or functions.loads_async:
        return Author(functions)
    return Author(functions, load_predictor(functions, environ))


@dataclass
class _Worker:
    """One slot of the pool, and the process that fills it now."""

    number: int
    listener: socket.socket
    pid: int = 0
    """0 while there is none."""
    ready: bool = False
    began: float = 0.0
    deaths: int = 0
    """In a row."""
    due: float = 0.0
    """When it is started next, where there is none."""


class Master:
    """The workers of one container."""

    def __init__(
        self, author: Author, environ: ServingEnviron, sockets: list[socket.socket], herald: Herald | None = None
    ) -> None:
        self._author = author
        self._herald = herald
        self._environ = environ
        self._workers = [_Worker(number, listener) for number, listener in enumerate(sockets, 1)]
        self._selector = selectors.DefaultSelector()
        self._lifeline_read, self._lifeline_write = os.pipe()
        self._was_ready = False
        self._code: int | None = None
        """The exit code to be, once the end has begun."""
        self._deadline = 0.0

    def run(self, when_ready: Callable[[float], None]) -> int:
        """Run the workers to the end of the container; its exit code."""
        woken = self._watch_signals()
        since = 0.0  # ready, and not said yet: only workers are left when it is
        settle()
        for worker in self._workers:
            self._start(worker)
        while self._code is None or any(worker.pid for worker in self._workers):
            for key, _ in self._selector.select(self._pause()):
                if key.fileobj is woken:
                    woken.recv(4096)
                else:
                    self._hear(key.fd, key.data)
            if not self._was_ready and all(worker.ready for worker in self._workers):
                self._was_ready = True
                since = time.monotonic()
            self._reap()
            if since and not (self._herald and self._herald.pid):
                when_ready(since)
                since = 0.0
            self._keep_up()
        return self._code

    def _watch_signals(self) -> socket.socket:
        """Let SIGTERM, SIGINT and the death of a child wake the selector."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        self._selector.register(reader, selectors.EVENT_READ)
        signal.signal(signal.SIGTERM, lambda *_: self._end(0))
        signal.signal(signal.SIGINT, lambda *_: self._end(0))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._writer = writer  # an open file of its own, for as long as the master lives
        return reader

    def _pause(self) -> float | None:
        """Seconds until something is due although nothing is heard."""
        now = time.monotonic()
        if self._code is not None:
            return max(0.0, self._deadline - now)
        due = [worker.due for worker in self._workers if not worker.pid]
        return max(0.0, min(due) - now) if due else None

    def _start(self, worker: _Worker) -> None:
        """Fork one worker, unless the end has begun."""
        # Blocked until the child is itself: a signal must not run the master's handler in it. And until the child is
        # known here: that handler tells those of the end which are.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
        try:
            if self._code is not None:
                return
            read, write = os.pipe()
            sys.stdout.flush()
            sys.stderr.flush()
            pid = os.fork()
            if pid == 0:
                os.close(read)
                os.close(self._lifeline_write)
                self._live(worker, write)
            os.close(write)
            worker.pid, worker.ready, worker.began = pid, False, time.monotonic()
            self._selector.register(read, selectors.EVENT_READ, worker)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))

    def _live(self, worker: _Worker, ready: int) -> None:
        """In the child: be a worker, and never return."""
        code = FAILED
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the master too, which then says SIGTERM
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
            self._selector.close()
            if self._herald:
                self._herald.forget()
            for other in self._workers:
                if other.listener is not worker.listener:
                    other.listener.close()
            metrics.become(worker.number)
            over = self._herald.over if self._herald else None
            wires = Wires(worker.listener, ready, self._lifeline_read, worker.number, over)
            code = run_worker(self._author, self._environ, wires)
        except SeaproofError as error:
            log.error("%s", error)
        except BaseException as error:
            sys.stderr.write(authors_traceback(error))
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # no atexit, which the master runs once for all

    def _hear(self, fd: int, worker: _Worker) -> None:
        """A worker said how far it is, or closed its pipe by dying, which is seen elsewhere."""
        said = os.read(fd, len(LOADED + READY))
        if LOADED in said and self._herald:
            self._herald.dismiss()
        if READY in said:
            worker.ready = True
        if READY in said or not said:
            self._selector.unregister(fd)
            os.close(fd)

    def _reap(self) -> None:
        """Find the workers that have ended."""
        for worker in self._workers:
            if worker.pid and (status := ended(worker.pid)) is not None:
                worker.pid = 0
                if self._code is None:
                    metrics.died(worker.number)
                    self._mourn(worker, status)
        if self._herald:
            self._herald.reap()
        if os.getpid() == 1:  # the first process of a container inherits what others leave behind
            reap_strangers({self._herald.pid if self._herald else 0, *(worker.pid for worker in self._workers)})

    def _mourn(self, worker: _Worker, status: int) -> None:
        """Decide what the death of a worker means."""
        died = how(status)
        if not self._was_ready and not worker.ready:
            log.error("worker %d %s before it was ready; the container ends", worker.number, died)
            self._end(FAILED)
            return
        lived = time.monotonic() - worker.began
        worker.deaths = 1 if lived > STEADY or status == STUCK else worker.deaths + 1
        pause = 0.0 if worker.deaths == 1 else min(LONGEST_PAUSE, 0.1 * 2**worker.deaths)
        worker.due = time.monotonic() + pause
        nobody = not any(other.pid and other.ready for other in self._workers)
        if nobody and not worker.ready and worker.deaths >= HOPELESS:
            log.error("worker %d %s, the %dth time in a row; no worker is left", worker.number, died, worker.deaths)
            self._end(FAILED)
            return
        log.error("worker %d %s; it is replaced %s", worker.number, died, f"in {pause:.1f} s" if pause else "at once")

    def _keep_up(self) -> None:
        """Start the workers that are due; while ending, kill those that had their time."""
        now = time.monotonic()
        for worker in self._workers:
            if self._code is None and not worker.pid and worker.due <= now:
                self._start(worker)
            elif self._code is not None and worker.pid and now >= self._deadline:
                log.error("worker %d did not end in time and is killed", worker.number)
                kill(worker.pid, signal.SIGKILL)

    def _end(self, code: int) -> None:
        """Begin the end: no more connections, and SIGTERM to every worker."""
        if self._code is not None:
            return
        self._code = code
        if self._herald:
            self._herald.end()
        self._deadline = time.monotonic() + DRAIN + 1.0
        for worker in self._workers:
            worker.listener.close()
            if worker.pid:
                kill(worker.pid, signal.SIGTERM)


class Leave(SystemExit):
    """SIGTERM before there is a worker: nothing is in flight."""


def leave(*_: object) -> None:
    """Handle a signal by leaving at once."""
    raise Leave(0)


def said(error: BaseException) -> str:
    """One line about what the author's code raised while it loaded."""
    if isinstance(error, SystemExit):
        return f"the script asked for exit code {error.code}"
    if isinstance(error, ModuleNotFoundError):
        return f"{error}. Nothing is installed when a container starts; install it when the image is built."
    return f"{type(error).__name__}: {error}"
