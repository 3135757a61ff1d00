"""One worker process: an event loop that answers HTTP, and a thread beside it that predicts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass

from seaproof.contract.environ import LOG_OFF, ServingEnviron
from seaproof.http.ledger import Ledger
from seaproof.http.server import ServerLimits, run, serve
from seaproof.serving.functions import Functions
from seaproof.serving.guardian import Guardian, guard
from seaproof.serving.loading import load_functions, load_predictor, settle
from seaproof.serving.observer import Observer
from seaproof.serving.pace import GRACE, STUCK
from seaproof.serving.predictions import AsyncThread, PlainThread
from seaproof.serving.predictor import Predictor
from seaproof.serving.routes import Routes

LOADED, READY = b"L", b"R"
"""What a worker says to its master: the herald may end; and it answers."""
DRAIN = 25.0
"""Seconds that requests in flight get after SIGTERM; the platform kills at 30."""
HERALD_SECONDS = 10.0
"""How long a worker waits for the herald to take no more connections: a matter of less than a millisecond, where the
herald gets a processor."""


@dataclass(frozen=True)
class Author:
    """As much of the author's code as was loaded before the fork; a worker loads the rest."""

    functions: Functions | None = None
    predictor: Predictor | None = None


@dataclass(frozen=True)
class Wires:
    """What ties a worker to its master."""

    listener: socket.socket
    ready: int
    """File descriptor to write LOADED and READY to."""
    lifeline: int
    """File descriptor that ends when the master does."""
    number: int = 1
    """Which of the workers this is, from 1."""
    herald: int | None = None
    """File descriptor that ends when the herald takes no more connections; None where there never was one."""


def run_worker(author: Author, environ: ServingEnviron, wires: Wires) -> int:
    """Load what is not loaded yet, serve until SIGTERM or until the master is gone; the exit code."""
    # A Unix socket has a front before it, which answers for those that die.
    guardian = None
    if wires.listener.family != socket.AF_UNIX:
        port = wires.listener.getsockname()[1]
        guardian = guard(wires.number, port, logs=environ.access_log != LOG_OFF)
    try:
        return _run(author, environ, wires, guardian)
    finally:
        if guardian:
            guardian.dismiss()


def _run(author: Author, environ: ServingEnviron, wires: Wires, guardian: Guardian | None) -> int:
    functions = author.functions or load_functions(environ)
    own_loop = AsyncThread() if functions.loads_async or functions.predicts_async else None
    predictor = author.predictor or load_predictor(functions, environ, own_loop.run if own_loop else None)
    if author.predictor is None:  # else it was done where that was loaded
        settle()
    ledger = guardian.ledger if guardian else None
    return run(_serve(predictor, own_loop if functions.predicts_async else None, environ, wires, ledger))


def server_limits(environ: ServingEnviron) -> ServerLimits:
    """The server's limits, with the body limit of the environment; 0 there means none."""
    if environ.max_body is None:
        return ServerLimits()
    return ServerLimits(body_bytes=environ.max_body or sys.maxsize)


async def _serve(
    predictor: Predictor,
    own_loop: AsyncThread | None,
    environ: ServingEnviron,
    wires: Wires,
    ledger: Ledger | None,
) -> int:
    loop = asyncio.get_running_loop()
    thread = own_loop or PlainThread(loop)
    _allow_open_files()
    observer = Observer(environ, wires.number)
    routes = Routes(predictor, thread, environ, observer.answer_metrics)
    limits = server_limits(environ)
    if wires.herald is not None:
        os.write(wires.ready, LOADED)
        select.select([wires.herald], [], [], HERALD_SECONDS)
    server = await serve(routes, sock=wires.listener, limits=limits, watch=observer, ledger=ledger)
    observer.server = server
    stopped: asyncio.Future[int] = loop.create_future()

    def stop(code: int = 0) -> None:
        if not stopped.done():
            stopped.set_result(code)

    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_reader(wires.lifeline, stop)
    os.write(wires.ready, READY)
    os.close(wires.ready)
    watch = loop.create_task(_watch(routes, thread, environ.timeout, stop))
    code = await stopped
    watch.cancel()
    loop.remove_reader(wires.lifeline)
    await server.close(drain=DRAIN if code == 0 else 1.0)
    observer.close()
    return code


def _allow_open_files() -> None:
    """As many open files as the system grants: at the usual 1,024, idle connections would keep all others out."""
    wanted = 65536
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < granted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))


async def _watch(
    routes: Routes, thread: PlainThread | AsyncThread, timeout: float, stop: Callable[[int], None]
) -> None:
    """Answer requests that take too long; give up on a prediction that does not end even so."""
    while True:
        await asyncio.sleep(min(1.0, timeout / 4))
        routes.expire()
        # A thread cannot be ended. Its caller was answered by now, but all that come after would wait behind it.
        if thread.busy_for() > timeout + GRACE:
            routes.give_up()
            stop(STUCK)
