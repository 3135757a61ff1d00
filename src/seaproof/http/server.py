"""The HTTP server: listens, keeps count of connections and their time, and drains when it is closed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from seaproof.http.connection import Connection, Handler
from seaproof.http.ledger import Ledger
from seaproof.http.limits import ServerLimits
from seaproof.http.message import Request
from seaproof.http.watch import Watch

new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
"""Makes uvloop's event loop, or asyncio's own where there is none."""
# Imported here, so that a master which forks has it for all of its workers.
with suppress(ImportError):
    from uvloop import new_event_loop

__all__ = ["Handler", "Server", "ServerLimits", "Watch", "new_event_loop", "run", "serve"]

T = TypeVar("T")


class Server:
    """A listening server, made by `serve`."""

    def __init__(
        self,
        limits: ServerLimits,
        stream_bodies: bool | Callable[[Request], bool],
        watch: Watch | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.watch = watch
        self.ledger = ledger
        self.port = 0
        """The TCP port it listens on; 0 for a socket of another kind."""
        self.closing = False
        self.now = self.loop.time()
        """The loop's clock at the last tick: good enough for time limits, and free to read."""
        self._stream_bodies = stream_bodies
        self.may_stream = stream_bodies is not False
        self._connections: set[Connection] = set()
        self._listener: asyncio.AbstractServer | None = None
        self._empty: asyncio.Future[None] | None = None
        self._timer = self.loop.call_later(limits.tick, self._tick)

    def wants_stream(self, request: Request) -> bool:
        """Whether the body of this request goes to the handler as a stream."""
        choose = self._stream_bodies
        return choose if isinstance(choose, bool) else choose(request)

    @property
    def in_flight(self) -> int:
        """How many requests are being answered now."""
        return sum(connection.is_busy for connection in self._connections)

    def admit(self, connection: Connection) -> bool:
        """Count a new connection; False if there are too many."""
        self._connections.add(connection)
        return len(self._connections) <= self.limits.connections

    def forget(self, connection: Connection) -> None:
        """A connection has ended, and its handler too."""
        self._connections.discard(connection)
        if not self._connections and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def listen(self, listener: asyncio.AbstractServer) -> None:
        """Take over the loop's listener."""
        self._listener = listener
        for listening in getattr(listener, "sockets", ()) or ():
            if listening.family in (socket.AF_INET, socket.AF_INET6):
                self.port = listening.getsockname()[1]

    def _tick(self) -> None:
        self.now = self.loop.time()
        for connection in list(self._connections):
            connection.check(self.now)
        self._timer = self.loop.call_later(self.limits.tick, self._tick)

    def give_up(self) -> None:
        """End what is being answered while this closes: its clients are told to send it again, and it is cancelled."""
        for connection in list(self._connections):
            connection.give_up()

    async def close(self, drain: float = 0.0) -> None:
        """Stop accepting, let requests in flight finish for up to `drain` seconds, then cut off what is left.

        Replies that go out meanwhile say `Connection: close`; idle connections are closed at once.
        """
        self.closing = True
        if self._listener is not None:
            self._listener.close()
        for connection in list(self._connections):
            connection.drain()
        if drain > 0:
            await self._wait_until_empty(drain)
        for connection in list(self._connections):
            connection.abort()
        await self._wait_until_empty(max(drain, 1.0))
        self._timer.cancel()

    async def _wait_until_empty(self, seconds: float) -> None:
        if self._connections:
            self._empty = self.loop.create_future()
            await asyncio.wait([self._empty], timeout=seconds)


async def serve(
    handler: Handler,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    sock: socket.socket | None = None,
    limits: ServerLimits = ServerLimits(),  # noqa: B008 - frozen
    stream_bodies: bool | Callable[[Request], bool] = False,
    watch: Watch | None = None,
    ledger: Ledger | None = None,
) -> Server:
    """Serve `handler` on a TCP port (0: any free one) or on a socket that is bound already.

    A handler that returns a Response is answered at once; one that returns an awaitable is run as a task, and is
    cancelled when the client goes away. `stream_bodies` (or what it says of a request whose headers are there)
    decides whether a body comes as `Request.stream` instead of `Request.body`. `watch` is told
    of every answer; `ledger` is kept of how far the answers on each connection have
    come. OSError where the port is taken.
    """
    server = Server(limits, stream_bodies, watch, ledger)

    def connect() -> Connection:
        return Connection(server, handler, limits)

    try:
        if sock is not None:
            server.listen(await server.loop.create_server(connect, sock=sock, backlog=1024))
        else:
            server.listen(await server.loop.create_server(connect, host, port, backlog=1024))
    except BaseException:
        await server.close()
        raise
    return server


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on uvloop, or on asyncio's own loop where there is none."""
    loop = new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        return _run_on(loop, main)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _run_on(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, T]) -> T:
    task = loop.create_task(main)
    try:
        return loop.run_until_complete(task)
    finally:
        left = [other for other in asyncio.all_tasks(loop) if not other.done()]
        for other in left:
            other.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
