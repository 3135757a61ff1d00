"""A watch is told of every answer exactly once, however it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
from talk import HEAD, connected, get, post, serving, until

from seaproof.errors import RequestError
from seaproof.http.message import Request, Response
from seaproof.http.server import Server
from seaproof.http.watch import CLIENT_GONE

Ending = tuple[str | None, int, int, bool]


class Seen:
    """A watch that remembers."""

    def __init__(self) -> None:
        self.endings: list[Ending] = []
        self.seconds: list[float] = []

    def ended(self, request: Request | None, status: int, sent: int, began: float, whole: bool) -> None:
        self.endings.append((request and request.path, status, sent, whole))
        self.seconds.append(time.monotonic() - began)


async def parts(*, fail: bool) -> AsyncIterator[bytes]:
    yield b"12345"
    await asyncio.sleep(0.01)
    if fail:
        raise RequestError(500, "broken")
    yield b"678"


def handler(request: Request) -> Response | Awaitable[Response]:
    if request.path == "/raise":
        raise RequestError(418, "no")
    if request.path == "/slow":
        return slow()
    if request.path == "/unsafe":
        return Response(200, [(b"a b", b"")], b"")
    if request.path in ("/parts", "/broken"):
        return Response(200, [], parts(fail=request.path == "/broken"))
    return Response(201, [], request.body)


async def told(server: Server, seen: Seen, sent: bytes, endings: int) -> None:
    """Send this, and wait until so many answers have ended."""
    async with connected(server.port) as (_, writer):
        writer.write(sent)
        await until(lambda: len(seen.endings) >= endings)


async def slow() -> Response:
    await asyncio.sleep(0.05)
    return Response(200, [], b"slow")


@pytest.mark.parametrize(
    ("sent", "ending"),
    [
        (post(b"abc", path=b"/echo"), ("/echo", 201, 3, True)),
        (get(b"/slow"), ("/slow", 200, 4, True)),
        (get(b"/parts"), ("/parts", 200, 8, True)),
        (get(b"/broken"), ("/broken", 200, 5, False)),
        (b"HEAD /parts" + HEAD + b"\r\n", ("/parts", 200, 0, True)),
        (b"no request\r\n\r\n", (None, 400, None, True)),
        (get(b"/raise"), ("/raise", 418, None, True)),
        (get(b"/unsafe"), ("/unsafe", 500, None, True)),
    ],
)
def test_every_answer_is_told_with_its_status_and_size(sent: bytes, ending: tuple[Any, ...]) -> None:
    async def run() -> Seen:
        seen = Seen()
        async with serving(handler, watch=seen) as server:
            await told(server, seen, sent, 1)
        return seen

    seen = asyncio.run(run())

    ((path, status, size, whole),) = seen.endings
    assert (path, status, whole) == (ending[0], ending[1], ending[3])
    assert ending[2] is None or size == ending[2]


def test_requests_in_a_row_are_told_one_by_one_with_their_time() -> None:
    async def run() -> Seen:
        seen = Seen()
        async with serving(handler, watch=seen) as server:
            await told(server, seen, get(b"/slow") + post(b"x") + get(b"/slow"), 3)
        return seen

    seen = asyncio.run(run())

    assert [ending[0] for ending in seen.endings] == ["/slow", "/", "/slow"]
    assert seen.seconds[0] > 0.04
    assert seen.seconds[1] < seen.seconds[0]


@pytest.mark.parametrize("path", [b"/slow", b"/parts"])
def test_a_client_that_leaves_is_told_too(path: bytes) -> None:
    async def run() -> Seen:
        seen = Seen()
        async with serving(handler, watch=seen) as server:
            async with connected(server.port) as (_, writer):
                writer.write(get(path))
                while not server.in_flight:
                    await asyncio.sleep(0.001)
            while not seen.endings:
                await asyncio.sleep(0.001)
            assert server.in_flight == 0
        return seen

    seen = asyncio.run(asyncio.wait_for(run(), 60))

    ((told, status, _, whole),) = seen.endings
    assert told == path.decode()
    assert (status, whole) in ((CLIENT_GONE, True), (200, False))
