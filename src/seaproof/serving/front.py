"""The front process of a multi-model container: owns the port and the list of models, and has no model itself."""

from __future__ import annotations

import asyncio
import signal
import socket
import time

from seaproof.contract.environ import ServingEnviron
from seaproof.http.server import run, serve
from seaproof.serving import metrics
from seaproof.serving.memory import Memory
from seaproof.serving.model_routes import ModelRoutes
from seaproof.serving.models import Models
from seaproof.serving.observer import Observer
from seaproof.serving.orders import Processes
from seaproof.serving.replies import log
from seaproof.serving.worker import DRAIN, server_limits


def run_front(environ: ServingEnviron, listener: socket.socket, channel: socket.socket, own: tuple[int, ...]) -> int:
    """Serve until SIGTERM, or until the nursery at the other end of `channel` is gone; the exit code.

    `own` are the processes of the container that are no model's.
    """
    metrics.become(1)
    return run(_serve(environ, listener, channel, own))


async def _serve(environ: ServingEnviron, listener: socket.socket, channel: socket.socket, own: tuple[int, ...]) -> int:
    began = time.monotonic()
    stopped = asyncio.Event()

    def stop() -> None:
        models.closing = True
        stopped.set()

    processes = await Processes.open(channel, when_gone=stop)
    models = Models(environ, processes, Memory(environ.memory_limit), own)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    observer = Observer(environ, 1)
    routes = ModelRoutes(models, observer.answer_metrics)
    server = await serve(routes, sock=listener, limits=server_limits(environ), watch=observer)
    observer.server = server
    log.info("serving models on port %d, none loaded yet, ready after %.2f s", environ.port, time.monotonic() - began)
    await stopped.wait()
    await server.close(drain=DRAIN)
    await models.close()
    observer.close()
    return 0
