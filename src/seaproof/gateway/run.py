"""A gateway from its start to its end: port first, then the containers, then requests, until it is told to end."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from seaproof.errors import SeaproofError
from seaproof.gateway.app import Gateway, Manner, Page, Report
from seaproof.gateway.containers import Containers
from seaproof.gateway.passage import LARGEST
from seaproof.gateway.seats import Say
from seaproof.http.limits import ServerLimits
from seaproof.http.server import run as run_loop
from seaproof.http.server import serve
from seaproof.inference_pipeline import InferencePipeline
from seaproof.invocations.send import new_client
from seaproof.project import Project
from seaproof.settings import Settings

_DRAIN = 5.0
"""Seconds that requests under way are given when it ends."""
_GARBAGE = 20_000
"""Objects made and not yet freed before cycles are looked for: a request makes none, so that looking finds nothing."""


def run(
    pipeline: InferencePipeline,
    project: Project,
    settings: Settings,
    manner: Manner,
    *,
    say: Say,
    ready: Callable[[str], None],
    report: Callable[[Report], None],
    page: Page | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. `ready` is told the address once every container answers; SeaproofError."""
    run_loop(_run(pipeline, project, settings, manner, say, ready, report, page))


async def _run(
    pipeline: InferencePipeline,
    project: Project,
    settings: Settings,
    manner: Manner,
    say: Say,
    ready: Callable[[str], None],
    report: Callable[[Report], None],
    page: Page | None,
) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    containers = Containers(pipeline, project, settings, say)
    client = new_client()
    gateway = Gateway(containers.chain, client, settings, manner, report, page)
    try:
        server = await serve(
            gateway.handle,
            host=settings.host,
            port=settings.port,
            limits=ServerLimits(body_bytes=LARGEST),
            stream_bodies=gateway.takes_stream,
        )
    except OSError as error:
        await client.close()
        raise SeaproofError(
            f"port {settings.port} cannot be listened on: {error.strerror or error}",
            where=settings.host,
            next_step="Something else listens there (a `seaproof up` does, too); say --port for another one.",
        ) from error
    try:
        opening: asyncio.Future[Any] = loop.run_in_executor(None, containers.open)
        waiting: asyncio.Future[Any] = asyncio.ensure_future(ended.wait())
        await asyncio.wait([opening, waiting], return_when=asyncio.FIRST_COMPLETED)
        if not ended.is_set():
            await opening
            gc.collect()
            gc.freeze()
            gc.set_threshold(_GARBAGE)
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            ready(f"http://{host}:{server.port}")
            await waiting
        under_way = server.in_flight
        say(f"ending; {under_way} under way, given {_DRAIN:g} s to be answered" if under_way else "ending")
        closing = asyncio.ensure_future(server.close(_DRAIN + 1.0))
        await asyncio.wait([closing], timeout=_DRAIN)
        server.give_up()
        await closing
    finally:
        gateway.close()
        await loop.run_in_executor(None, containers.close)
        with suppress(SeaproofError):
            await opening
        await server.close()
        await client.close()
