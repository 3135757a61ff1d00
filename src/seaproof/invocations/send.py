"""The only network code of the data plane: one event loop in a thread, one pooled client on it.

The control plane is synchronous and calls `ping` and `request` of a `Sender`, which wait for its loop. Whoever
runs an event loop of its own (the local server) makes a `Client` there and awaits the functions below with it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, TypeVar

from seaproof.contract.http import PING, is_healthy
from seaproof.errors import HttpError
from seaproof.http import client as http_client
from seaproof.http.client import Body, Client
from seaproof.http.message import Headers, Response
from seaproof.invocations.chain import Call, Wait
from seaproof.invocations.flow import Steps

Result = TypeVar("Result")


@dataclass(frozen=True)
class Ping:
    """What came of one GET /ping: a status, or a problem (`refused`, `timeout`, `closed`, `malformed`, `oversize`)."""

    status: int | None = None
    problem: str = ""

    @property
    def healthy(self) -> bool:
        """Whether the platform counts this attempt as healthy."""
        return self.status is not None and is_healthy(self.status)

    def __str__(self) -> str:
        return self.problem or str(self.status)


def new_client() -> Client:
    """A client for containers, for the event loop that calls this.

    Kept-alive connections are used again within a second only: servers close idle ones after 2 s (gunicorn) or more,
    and a request that meets one being closed could not be told from one whose container died of it.
    """
    return Client(idle_seconds=1.0)


async def ping(client: Client, host: str, port: int, timeout: float) -> Ping:
    """GET /ping once, `timeout` in seconds for all of it. Never raises for what the container does."""
    try:
        reply = await client.request(host, port, "GET", PING, [], b"", timeout=timeout, max_body=1024 * 1024)
    except HttpError as error:
        return Ping(problem=error.kind)
    return Ping(status=reply.status)


async def invoke(client: Client, steps: Steps) -> Response:
    """Drive the steps of `flow.invocation` to their end. ServiceError where the platform would answer one."""
    return await drive(client, steps)


async def request(client: Client, call: Call) -> http_client.Reply | http_client.StreamedReply:
    """Send one call; its reply, whole or as the call allows it. HttpError where there is none."""
    headers, body = framed(call)
    return await client.ask(
        call.host,
        call.port,
        call.method,
        call.target,
        headers,
        body,
        timeout=call.timeout,
        max_body=call.max_body,
        stream_over=call.stream_over,
        # What killed one container is not sent to the next.
        resend=False,
    )


def framed(call: Call) -> tuple[Headers, Body]:
    """Headers and body of a call as a client takes them: what lies in storage goes out in parts, of known length."""
    if call.stored is None:
        return call.headers, call.body
    return [*call.headers, (b"Content-Length", b"%d" % len(call.stored))], call.stored.parts()


async def drive(
    client: Client,
    steps: Generator[Call | Wait, Any, Result],
    first: Call | Wait | None = None,
    begun: http_client.StreamedReply | None = None,
) -> Result:
    """Send each call that `steps` (a chain, an invocation) yields, give it what comes of it, and return its result.

    `first` is what they have yielded, where they are under way already, and `begun` what came of it.
    """
    reply: http_client.Reply | http_client.StreamedReply
    try:
        call = first or next(steps)
        while True:
            if isinstance(call, Wait):
                # Neither the end of the time nor a caller that goes away ends what is waited for.
                await asyncio.wait([asyncio.wrap_future(call.future)], timeout=call.seconds)
                call = steps.send(None)
                continue
            try:
                reply, begun = begun or await request(client, call), None
            except HttpError as error:
                call = steps.throw(error)
            else:
                call = steps.send(reply)
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        # A caller that went away cancels this; the instance is left all the same.
        steps.close()


class Sender:
    """A client with an event loop of its own, usable from any thread but that loop's. The loop starts when needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: Client | None = None
        self._closed = False

    def ping(self, host: str, port: int, timeout: float) -> Ping:
        """GET /ping once, `timeout` in seconds for all of it. Never raises for what the container does."""
        return self.run(lambda client: ping(client, host, port, timeout))

    def request(
        self,
        host: str,
        port: int,
        method: str,
        target: str,
        *,
        headers: Headers | None = None,
        body: bytes = b"",
        timeout: float = 60.0,
        max_body: int = 64 * 1024 * 1024,
    ) -> http_client.Reply:
        """One request and its whole answer; `timeout` in seconds, `max_body` in bytes. HttpError where none comes."""

        async def call(client: Client) -> http_client.Reply:
            return await client.request(
                host, port, method, target, headers or [], body, timeout=timeout, max_body=max_body
            )

        return self.run(call)

    def invoke(self, steps: Steps) -> Response:
        """One invocation, for callers in this process; see `invoke`."""
        return self.run(lambda client: invoke(client, steps))

    def run(self, call: Callable[[Client], Coroutine[Any, Any, Result]]) -> Result:
        """Run a coroutine that is made with the client on the sender's loop, and wait for what it gives."""

        async def with_client() -> Result:
            return await call(self._open_client())

        with self._lock:
            if self._closed:
                raise HttpError("closed", "the sender is closed")
            future = asyncio.run_coroutine_threadsafe(with_client(), self._running_loop())
        try:
            return future.result()
        except CancelledError as error:
            raise HttpError("closed", "the sender was closed in the middle of a request") from error

    def close(self) -> None:
        """Cancel what is under way, close all connections and end the loop; twice is fine."""
        with self._lock:
            loop, thread, self._closed = self._loop, self._thread, True
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._wind_up(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = new_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="sender", daemon=True)
            self._thread.start()
        return self._loop

    def _open_client(self) -> Client:
        # Made on the loop, where its connections live.
        if self._client is None:
            self._client = new_client()
        return self._client

    async def _wind_up(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._client is not None:
            await self._client.close()


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop, the fastest there is here."""
    try:
        import uvloop
    except ImportError:  # there is none on Windows
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
