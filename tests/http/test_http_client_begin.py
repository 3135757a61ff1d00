"""Requests without a task: `Client.begin` against real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from seaproof.errors import HttpError
from seaproof.http.client import Client, Reply, StreamedReply
from seaproof.http.message import Request, Response
from seaproof.http.server import run, serve

Outcome = asyncio.Future["Reply | StreamedReply | BaseException | None"]


def _begin(
    client: Client,
    port: int,
    target: str,
    timeout: float = 5.0,
    max_body: int | None = None,
    stream_over: int | None = None,
) -> tuple[Outcome, Callable[[], object]]:
    """One request that has begun: what becomes of it, and what gives it up."""
    outcome: Outcome = asyncio.get_running_loop().create_future()

    def answered(reply: Reply | StreamedReply | None, error: BaseException | None) -> None:
        outcome.set_result(error or reply)

    drop = client.begin(
        "127.0.0.1",
        port,
        "POST",
        target,
        [],
        b"x",
        timeout=timeout,
        max_body=max_body,
        stream_over=stream_over,
        answered=answered,
    )
    return outcome, drop


def _handle(request: Request) -> Response:
    if request.path.startswith("/parts/"):
        _, _, status, framing, size = request.path.split("/")
        length = [(b"Content-Length", size.encode())] if framing == "length" else []
        return Response(int(status), length, _parts(int(size)))
    if request.path == "/never":
        return Response(200, [(b"Content-Length", b"5")], _silence())
    return Response(200, [], request.path.encode())


async def _parts(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 10):
        yield b"0123456789"
        await asyncio.sleep(0)


async def _read(reply: StreamedReply) -> bytes:
    return b"".join([part async for part in reply])


async def _silence() -> AsyncIterator[bytes]:
    await asyncio.sleep(30)
    yield b"12345"


def _against_server(test: Callable[[Client, int], object]) -> None:
    async def main() -> None:
        server, client = await serve(_handle), Client()
        try:
            await test(client, server.port)  # type: ignore[misc]
        finally:
            await client.close()
            await server.close()

    run(main())


def test_replies_come_over_a_new_connection_and_over_the_same_one_again() -> None:
    async def test(client: Client, port: int) -> None:
        connects = []
        for target in ("/a", "/b", "/c"):
            reply = await _begin(client, port, target)[0]
            assert isinstance(reply, Reply)
            assert (reply.status, reply.body) == (200, target.encode())
            connects.append(reply.connect_seconds > 0)
        assert connects == [True, False, False]

    _against_server(test)


@pytest.mark.parametrize("warm", [False, True], ids=["new connection", "kept connection"])
def test_a_reply_that_does_not_come_in_time_or_is_too_large_is_an_error(warm: bool) -> None:
    async def test(client: Client, port: int) -> None:
        for target, timeout, limit, kind in (("/never", 0.1, None, "timeout"), ("/long", 5.0, 3, "oversize")):
            if warm:
                await _begin(client, port, "/a")[0]
            error = await _begin(client, port, target, timeout, limit)[0]
            assert isinstance(error, HttpError)
            assert error.kind == kind

    _against_server(test)


def test_a_shorter_time_limit_than_that_of_the_request_before_holds() -> None:
    async def test(client: Client, port: int) -> None:
        await _begin(client, port, "/a", timeout=60.0)[0]
        begun = asyncio.get_running_loop().time()
        error = await _begin(client, port, "/never", timeout=0.2)[0]
        assert isinstance(error, HttpError)
        assert 0.15 < asyncio.get_running_loop().time() - begun < 5

    _against_server(test)


def test_a_longer_time_limit_outlives_the_timer_of_the_request_before() -> None:
    async def test(client: Client, port: int) -> None:
        await _begin(client, port, "/a", timeout=0.1)[0]
        begun = asyncio.get_running_loop().time()
        error = await _begin(client, port, "/never", timeout=0.5)[0]
        assert isinstance(error, HttpError)
        assert "0.5 s" in error.what
        assert 0.45 < asyncio.get_running_loop().time() - begun < 5

    _against_server(test)


def test_a_client_that_closes_ends_what_was_begun() -> None:
    async def test(client: Client, port: int) -> None:
        await _begin(client, port, "/a")[0]
        outcome, _ = _begin(client, port, "/never")
        await client.close()
        error = await outcome
        assert isinstance(error, HttpError)
        assert error.kind == "closed"

    _against_server(test)


def test_what_was_given_up_is_not_answered_and_its_connection_not_used_again() -> None:
    async def test(client: Client, port: int) -> None:
        await _begin(client, port, "/a")[0]
        outcome, drop = _begin(client, port, "/never")
        drop()
        reply = await _begin(client, port, "/b")[0]
        assert isinstance(reply, Reply)
        assert reply.connect_seconds > 0
        assert not outcome.done()

    _against_server(test)


@pytest.mark.parametrize("warm", [False, True], ids=["new connection", "kept connection"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_reply_over_a_size_is_read_as_it_comes_and_any_other_is_whole(framing: str, warm: bool) -> None:
    async def test(client: Client, port: int) -> None:
        for size, status, streamed in ((100, 200, False), (110, 200, True), (0, 200, False), (110, 500, False)):
            if warm:
                await _begin(client, port, "/a")[0]
            reply = await _begin(client, port, f"/parts/{status}/{framing}/{size}", stream_over=100)[0]
            assert isinstance(reply, StreamedReply if streamed else Reply)
            if isinstance(reply, StreamedReply):
                assert reply.length == (size if framing == "length" else None)
                body = await _read(reply)
            else:
                assert isinstance(reply, Reply)
                body = reply.body
            assert body == b"0123456789" * (size // 10)
        assert len(client._busy) == 0

    _against_server(test)


def test_a_length_over_the_limit_is_known_before_a_byte_of_the_body_is_passed_on() -> None:
    async def test(client: Client, port: int) -> None:
        error = await _begin(client, port, "/parts/200/length/1000", max_body=500, stream_over=100)[0]
        assert isinstance(error, HttpError)
        assert error.kind == "oversize"

        reply = await _begin(client, port, "/parts/200/chunked/1000", max_body=500, stream_over=100)[0]
        assert isinstance(reply, StreamedReply)
        with pytest.raises(HttpError, match="over 500 bytes"):
            await _read(reply)

    _against_server(test)


def test_what_comes_behind_a_whole_reply_does_not_keep_it_from_its_caller() -> None:
    async def surplus(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\nx")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + b"garbage" * (_ > 0))
        await reader.read()
        writer.close()

    async def main() -> None:
        server, client = await asyncio.start_server(surplus, "127.0.0.1"), Client()
        port = server.sockets[0].getsockname()[1]
        first = await _begin(client, port, "/")[0]
        second = await _begin(client, port, "/", timeout=2.0)[0]
        await client.close()
        server.close()
        await server.wait_closed()

        assert isinstance(first, Reply)
        assert isinstance(second, Reply)
        assert second.body == b"ok"

    run(main())
