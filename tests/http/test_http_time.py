"""Slow clients, clients that leave, and a server that is closed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from talk import HEAD, connected, echo, get, post, replies, say, serving, until

from seaproof.http.limits import ServerLimits
from seaproof.http.message import Request, Response
from seaproof.http.server import serve

Run = Callable[..., Any]
QUICK = ServerLimits(head_seconds=0.2, body_seconds=0.2, idle_seconds=0.2, write_seconds=0.3, linger_seconds=0.2)


async def drip(port: int, head: bytes, drop: bytes) -> bytes:
    """Send the head, then a little again and again, until the server has said something and closed."""
    async with connected(port) as (reader, writer):
        writer.write(head)
        heard = asyncio.ensure_future(reader.read(-1))
        with contextlib.suppress(ConnectionError):
            for _ in range(500):
                await asyncio.wait([heard], timeout=0.02)
                if heard.done():
                    break
                writer.write(drop)
        return await heard


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"GET /", b"a"),
        (b"GET /" + HEAD, b"X: y\r\n"),
        (b"POST /" + HEAD + b"Content-Length: 9999\r\n\r\n", b"x"),
        (b"POST /" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1;aaaaaaaaaaaaaaaa\r\nx\r\n"),
    ],
)
def test_a_client_that_drips_is_answered_408(run: Run, head: bytes, drop: bytes) -> None:
    async def main() -> bytes:
        async with serving(limits=QUICK) as server:
            return await drip(server.port, head, drop)

    ((status, body),) = replies(run(main()))
    assert status == 408
    assert json.loads(body)["next_step"]


def test_a_body_that_is_slow_but_steady_arrives(run: Run) -> None:
    async def main() -> bytes:
        limits = ServerLimits(head_seconds=0.5, body_seconds=0.5, body_progress=4)
        async with serving(limits=limits) as server, connected(server.port) as (reader, writer):
            writer.write(b"POST /" + HEAD + b"Connection: close\r\nContent-Length: 60\r\n\r\n")
            for _ in range(30):
                writer.write(b"xx")
                await asyncio.sleep(0.03)
            return await reader.read(-1)

    assert replies(run(main())) == [(200, b"x" * 60)]


@pytest.mark.parametrize("first", [b"", get(b"/"), b"\r\n\r\n"])
def test_a_silent_connection_is_closed_without_a_word(run: Run, first: bytes) -> None:
    async def main() -> bytes:
        async with serving(limits=QUICK) as server:
            return await say(server.port, first)

    assert len(replies(run(main()))) == first.count(b"GET")


def test_a_prediction_may_take_longer_than_any_limit(run: Run) -> None:
    async def main() -> bytes:
        async def handler(request: Request) -> Response:
            await asyncio.sleep(0.7)
            return echo(request)

        async with serving(handler, limits=QUICK) as server:
            return await say(server.port, post(b"slow"))

    assert replies(run(main())) == [(200, b"slow")]


def narrow(port: int, window: int = 4096) -> socket.socket:
    """A connection that takes next to nothing until it is read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    client.connect(("127.0.0.1", port))
    return client


def test_a_client_that_does_not_read_is_cut_off_and_its_stream_closed(run: Run) -> None:
    made, closed = [], []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                made.append(1)
                yield b"x" * 65536
        finally:
            closed.append(1)

    async def main() -> None:
        async with serving(lambda request: Response(200, [], endless()), limits=QUICK) as server:
            with narrow(server.port) as client:
                client.sendall(get(b"/"))
                await until(lambda: bool(closed))
            await until(lambda: not server._connections)

    run(main())

    assert 0 < len(made) < 200


def test_a_client_that_reads_slowly_gets_all_of_a_stream(run: Run) -> None:
    async def much() -> AsyncIterator[bytes]:
        for number in range(100):
            yield b"%05d" % number * 10_000

    async def main() -> int:
        limits = ServerLimits(write_seconds=20.0, linger_seconds=0.2)
        async with serving(lambda request: Response(200, [], much()), limits=limits) as server:
            with narrow(server.port, 65536) as client:
                client.setblocking(False)
                loop, total = asyncio.get_running_loop(), 0
                await loop.sock_sendall(client, get(b"/", b"Connection: close"))
                while part := await loop.sock_recv(client, 60_000):
                    total += len(part)
                    await asyncio.sleep(0.001)
                return total

    assert run(main()) > 100 * 50_000


def test_a_client_that_leaves_cancels_its_handler(run: Run) -> None:
    ends: list[str] = []

    async def handler(request: Request) -> Response:
        ends.append("begun")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        return Response()

    async def main() -> None:
        async with serving(handler) as server:
            async with connected(server.port) as (_, writer):
                writer.write(get(b"/") + get(b"/"))
                await until(lambda: bool(ends))
            await until(lambda: len(ends) == 2 and not server._connections)

    run(main())

    assert ends == ["begun", "cancelled"]


@pytest.mark.parametrize("when", ["before the first part", "between two parts", "as the handler returns"])
def test_a_client_that_leaves_closes_the_stream_made_for_it(run: Run, when: str) -> None:
    ends: list[str] = []

    class Body:
        def __aiter__(self) -> Body:
            return self

        async def __anext__(self) -> bytes:
            ends.append("asked")
            if when == "before the first part" or len(ends) > 1:
                await asyncio.sleep(60)
            return b"x"

        async def aclose(self) -> None:
            ends.append("closed")

    async def stubborn(request: Request) -> Response:
        ends.append("asked")
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return Response(200, [], Body())

    async def main() -> None:
        handler = stubborn if when == "as the handler returns" else lambda request: Response(200, [], Body())
        async with serving(handler) as server:
            async with connected(server.port) as (_, writer):
                writer.write(get(b"/"))
                await until(lambda: len(ends) == (2 if when == "between two parts" else 1))
            await until(lambda: "closed" in ends and not server._connections)

    run(main())

    assert ends[-1] == "closed"


def test_a_stream_is_closed_though_its_client_left_before_it_was_begun(run: Run) -> None:
    closed: list[bool] = []

    class Body:
        def __aiter__(self) -> Body:
            return self

        async def __anext__(self) -> bytes:
            raise StopAsyncIteration

        async def aclose(self) -> None:
            closed.append(True)

    async def main() -> None:
        def handler(request: Request) -> Response:
            for connection in server._connections:
                connection.abort()
            return Response(200, [], Body())

        async with serving(handler) as server:
            await say(server.port, get(b"/"))
            await until(lambda: not server._connections)

    run(main())

    assert closed == [True]


def test_a_handler_that_reads_a_stream_learns_that_its_client_has_left(run: Run) -> None:
    ends: list[BaseException] = []

    async def handler(request: Request) -> Response:
        assert request.stream is not None
        try:
            async for _ in request.stream:
                pass
        except BaseException as error:
            ends.append(error)
            raise
        return Response()

    async def main() -> None:
        async with serving(handler, stream_bodies=True) as server:
            async with connected(server.port) as (_, writer):
                writer.write(b"POST /" + HEAD + b"Content-Length: 99\r\n\r\nabc")
                await asyncio.sleep(0.05)
            await until(lambda: bool(ends) and not server._connections)

    run(main())

    assert len(ends) == 1


def test_closing_finishes_what_is_under_way_and_says_so(run: Run) -> None:
    async def main() -> tuple[bytes, bytes, bytes, float]:
        begun = asyncio.Event()

        async def handler(request: Request) -> Response:
            begun.set()
            await asyncio.sleep(0.15)
            return echo(request)

        server = await serve(handler)
        async with connected(server.port) as (idle, _), connected(server.port) as (half, half_writer):
            half_writer.write(b"POST /" + HEAD + b"Content-Length: 4\r\n\r\nha")
            busy = asyncio.ensure_future(say(server.port, post(b"busy")))
            await begun.wait()
            loop = asyncio.get_running_loop()
            started = loop.time()
            closing = asyncio.ensure_future(server.close(60.0))
            nothing = await idle.read(-1)
            half_writer.write(b"lf")
            heard = await busy, nothing, await half.read(-1)
            with pytest.raises(ConnectionRefusedError):
                await say(server.port)
            await closing
            return *heard, loop.time() - started

    busy, nothing, half, took = run(main())

    assert b"Connection: close" in busy
    assert replies(busy) == [(200, b"busy")]
    assert replies(half) == [(200, b"half")]
    assert nothing == b""
    assert took < 30.0


def test_closing_waits_no_longer_than_it_was_told(run: Run) -> None:
    cancelled: list[bool] = []

    async def main() -> tuple[bytes, float]:
        begun = asyncio.Event()

        async def handler(request: Request) -> Response:
            begun.set()
            try:
                await asyncio.sleep(60)
            finally:
                cancelled.append(True)
            return Response()

        server = await serve(handler)
        stuck = asyncio.ensure_future(say(server.port, get(b"/")))
        await begun.wait()
        loop = asyncio.get_running_loop()
        started = loop.time()
        await server.close(0.2)
        return await stuck, loop.time() - started

    heard, took = run(main())

    assert heard == b""
    assert 0.15 < took < 30.0  # the handler would sleep for twice as long
    assert cancelled == [True]


def test_an_idle_server_closes_at_once_and_its_port_is_free_again(run: Run) -> None:
    async def main() -> float:
        server = await serve(echo)
        async with connected(server.port) as (reader, writer):
            writer.write(get(b"/"))
            await reader.readline()
            loop = asyncio.get_running_loop()
            started = loop.time()
            await server.close(30.0)
            took = loop.time() - started
        again = await serve(echo, port=server.port)
        await again.close()
        return took

    assert run(main()) < 15.0


def test_a_socket_that_is_bound_already_can_be_served(run: Run) -> None:
    async def main() -> bytes:
        bound = socket.create_server(("127.0.0.1", 0))
        async with serving(sock=bound) as server:
            assert server.port == bound.getsockname()[1]
            return await say(server.port, get(b"/", b"Connection: close"))

    assert [status for status, _ in replies(run(main()))] == [200]


def test_a_port_that_is_taken_is_an_os_error(run: Run) -> None:
    async def main() -> None:
        async with serving() as server:
            with pytest.raises(OSError, match="in use"):
                await serve(echo, port=server.port)

    run(main())
