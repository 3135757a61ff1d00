"""Raw conversations with a server: bytes there, bytes back, so that nothing of ours checks itself."""

from __future__ import annotations

import asyncio
import http.client
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from seaproof.http.message import Request, Response
from seaproof.http.server import Handler, Server, serve

HEAD = b" HTTP/1.1\r\nHost: test\r\n"


def get(path: bytes, *lines: bytes) -> bytes:
    """A GET as it stands on the wire."""
    return b"GET " + path + HEAD + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def post(body: bytes, *lines: bytes, path: bytes = b"/") -> bytes:
    """A POST with its length."""
    head = b"".join(line + b"\r\n" for line in lines)
    return b"POST " + path + HEAD + head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def echo(request: Request) -> Response:
    """Answers with the body it got, at once."""
    return Response(200, [(b"Content-Type", b"text/csv")], request.body)


@asynccontextmanager
async def serving(handler: Handler = echo, **options: Any) -> AsyncIterator[Server]:
    """A server for the length of a test."""
    server = await serve(handler, **options)
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection of asyncio's own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def say(port: int, *parts: bytes, quiet: float = 10.0) -> bytes:
    """Send the parts, one write each; what comes back until the server closes or is quiet for so long."""
    async with connected(port) as (reader, writer):
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0)
        heard = b""
        try:
            while part := await asyncio.wait_for(reader.read(65536), quiet):
                heard += part
        except (asyncio.TimeoutError, ConnectionError):
            pass
        return heard


async def closing_reply(port: int, *parts: bytes) -> tuple[int, bytes]:
    """Status and body of the single reply to a conversation that the server ends."""
    ((status, body),) = replies(await say(port, *parts))
    return status, body


class _Bytes(io.BytesIO):
    def makefile(self, *_: Any) -> _Bytes:
        return self

    def close(self) -> None:
        pass


def replies(raw: bytes, methods: Iterable[str] = ()) -> list[tuple[int, bytes]]:
    """Status and body of each reply, read by the standard library."""
    stream, found, asked = _Bytes(raw), [], iter(methods)
    while stream.tell() < len(raw):
        reply = http.client.HTTPResponse(stream, method=next(asked, "GET"))  # type: ignore[arg-type]
        reply.begin()
        found.append((reply.status, reply.read()))
    return found


async def until(truth: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something holds; AssertionError after the deadline."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not truth():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


async def gather_all(awaitables: Iterable[Awaitable[Any]]) -> list[Any]:
    """All results, in order."""
    return list(await asyncio.gather(*awaitables))
