"""The client against our server, and against peers that say exactly what a test wants."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talk import echo, gather_all, serving, until

from seaproof.errors import HttpError
from seaproof.http.client import Client
from seaproof.http.message import Request, Response
from seaproof.http.server import run as run_on_uvloop

Run = Callable[..., Any]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]
HOST = "127.0.0.1"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def calling(**options: Any) -> AsyncIterator[Client]:
    client = Client(**options)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def peer(talk: Talk) -> AsyncIterator[int]:
    """A server that runs `talk` on each connection, then closes it; its port."""
    tasks: list[asyncio.Task[None]] = []

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(run, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def saying(*replies: bytes, wait: bool = False) -> Talk:
    """A peer that answers each request on a connection with the next of these; and stays silent if told to wait."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
        if wait:
            await reader.read(-1)

    return talk


async def parts(*them: bytes) -> AsyncIterator[bytes]:
    for part in them:
        yield part
        await asyncio.sleep(0)


def test_a_connection_is_used_again_and_the_times_say_so(run: Run) -> None:
    async def main() -> None:
        async with serving() as server, calling() as client:
            first = await client.request(HOST, server.port, "POST", "/a?b", body=b"one", timeout=5)
            second = await client.request(HOST, server.port, "POST", "/", body=b"two", timeout=5)

            assert (first.status, first.body, second.body) == (200, b"one", b"two")
            assert first.header(b"content-type") == "text/csv"
            assert 0 < first.connect_seconds <= first.first_byte_seconds <= first.total_seconds < 5
            assert second.connect_seconds == 0
            assert len(server._connections) == 1

    run(main())


def test_the_pool_keeps_no_more_than_it_was_told(run: Run) -> None:
    async def main() -> None:
        async def handler(request: Request) -> Response:
            await asyncio.sleep(0.01)
            return echo(request)

        async with serving(handler) as server, calling(pool=3) as client:
            bodies = [b"%d" % number for number in range(20)]
            replies = await gather_all(
                client.request(HOST, server.port, "POST", "/", body=body, timeout=5) for body in bodies
            )
            assert [reply.body for reply in replies] == bodies
            await until(lambda: len(server._connections) == 3)

    run(main())


def test_an_idle_connection_that_is_too_old_is_not_used(run: Run) -> None:
    async def main() -> None:
        async with serving() as server, calling(idle_seconds=0.0) as client:
            for _ in range(2):
                assert (await client.request(HOST, server.port, "GET", "/", timeout=5)).connect_seconds > 0

    run(main())


@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_a_unix_socket_is_a_peer_too(run: Run, tmp_path: Path, kind: str) -> None:
    async def main() -> None:
        path = str(tmp_path / "peer")
        if kind == "abstract":
            path = f"\0{path}"
        server = await asyncio.start_unix_server(saying_closed(OK), path)
        async with calling() as client:
            assert (await client.request(path, 0, "GET", "/", timeout=5)).body == b"ok"
            server.close()
            await server.wait_closed()
            if kind == "abstract":
                with pytest.raises(HttpError, match="refused") as refused:
                    await client.request(path, 0, "GET", "/", timeout=5)
                assert refused.value.where == f"@{path[1:]}"

    run(main())


def saying_closed(reply: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        writer.close()

    return talk


@settings(deadline=None, max_examples=40)
@given(st.lists(st.binary(max_size=3000), max_size=8), st.booleans(), st.booleans())
def test_any_body_comes_back_as_it_went_whole_or_streamed(them: list[bytes], there: bool, back: bool) -> None:
    async def main() -> bytes:
        async def streamed(request: Request) -> Response:
            assert request.stream is not None
            return Response(200, [], request.stream)

        async with serving(streamed if there else echo, stream_bodies=there) as server, calling() as client:
            body = parts(*them)
            if not back:
                return (await client.request(HOST, server.port, "POST", "/", body=body, timeout=5)).body
            async with await client.stream(HOST, server.port, "POST", "/", body=body, timeout=5) as reply:
                return b"".join([part async for part in reply])

    assert run_on_uvloop(main()) == b"".join(them)


def test_a_body_of_known_length_goes_out_plain(run: Run) -> None:
    async def main() -> None:
        def handler(request: Request) -> Response:
            return Response(
                200, [], request.header(b"content-length").encode() + request.header(b"transfer-encoding").encode()
            )

        async with serving(handler) as server, calling() as client:
            headers = [(b"Content-Length", b"3")]
            reply = await client.request(HOST, server.port, "POST", "/", headers, parts(b"a", b"bc"), timeout=5)
            assert reply.body == b"3"
            with pytest.raises(ValueError, match="Content-Length"):
                await client.request(HOST, server.port, "POST", "/", headers, parts(b"a"), timeout=5)

    run(main())


@pytest.mark.parametrize(
    ("wire", "method", "status", "body", "again"),
    [
        (OK, "GET", 200, b"ok", True),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\no\r\n1\r\nk\r\n0\r\nA: b\r\n\r\n",
            "GET",
            200,
            b"ok",
            True,
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX: y\r\n\r\n" + OK, "GET", 200, b"ok", True),
        (b"HTTP/1.1 204 No\r\n\r\n", "GET", 204, b"", True),
        (b"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", "GET", 304, b"", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HEAD", 200, b"", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", 200, b"", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "HEAD", 200, b"", False),
        (OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"), "GET", 200, b"ok", False),
        (OK.replace(b"1.1", b"1.0"), "GET", 200, b"ok", False),
        (OK.replace(b"1.1 200 OK\r\n", b"1.0 200 OK\r\nConnection: keep-alive\r\n"), "GET", 200, b"ok", True),
        (OK + b"HTTP/1.1 200 OK\r\n", "GET", 200, b"ok", False),
        (OK + OK, "GET", 200, b"ok", False),
        (OK, "HEAD", 200, b"", False),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_reply_is_understood_and_its_connection_kept_only_if_it_is_clean(
    run: Run, wire: bytes, method: str, status: int, body: bytes, again: bool, streamed: bool
) -> None:
    async def main() -> None:
        async with peer(saying(wire, OK, wait=True)) as port, calling() as client:
            if streamed:
                reply = await client.stream(HOST, port, method, "/", timeout=5)
                assert (reply.status, b"".join([part async for part in reply])) == (status, body)
            else:
                whole = await client.request(HOST, port, method, "/", timeout=5)
                assert (whole.status, whole.body) == (status, body)
            assert bool(client._idle.get((HOST, port))) == again

    run(main())


def test_a_reply_without_length_ends_with_its_connection(run: Run) -> None:
    async def main() -> None:
        async with peer(saying(b"HTTP/1.1 200 OK\r\n\r\nall of ", b"")) as port, calling() as client:
            # The peer's second turn never comes: it waits for a request until the body below ends it.
            async with peer(saying_closed(b"HTTP/1.1 200 OK\r\n\r\nall of it")) as other:
                assert (await client.request(HOST, other, "GET", "/", timeout=5)).body == b"all of it"
            with pytest.raises(HttpError) as caught:
                await client.request(HOST, port, "GET", "/", timeout=0.1)
            assert caught.value.kind == "timeout"

    run(main())


@pytest.mark.parametrize(
    ("wire", "kind"),
    [
        (b"", "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Len", "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "closed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", "closed"),
        (b"220 smtp ready\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok", "malformed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n", "malformed"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000, "malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + b"a" * 101, "oversize"),
    ],
)
def test_what_is_no_reply_is_an_error_that_says_where(run: Run, wire: bytes, kind: str) -> None:
    async def main() -> None:
        async with peer(saying(wire)) as port, calling() as client:
            with pytest.raises(HttpError) as caught:
                await client.request(HOST, port, "GET", "/", timeout=5, max_body=100)
            assert (caught.value.kind, caught.value.where) == (kind, f"{HOST}:{port}")
            assert not client._busy

    run(main())


def test_nobody_there_is_refused_and_no_answer_is_a_timeout(run: Run) -> None:
    async def main() -> None:
        async with peer(saying(wait=True)) as port, calling() as client:
            with pytest.raises(HttpError) as silent:
                await client.request(HOST, port, "GET", "/", timeout=0.1)
            assert silent.value.kind == "timeout"
        with pytest.raises(HttpError) as refused:
            async with calling() as client:
                await client.request(HOST, port, "GET", "/", timeout=5)
        assert refused.value.kind == "refused"

    run(main())


@pytest.mark.parametrize("reply", [b"", b"HTTP"])
def test_a_connection_closed_while_idle_is_replaced_once_and_only_before_any_reply(run: Run, reply: bytes) -> None:
    requests: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = not requests
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        if first:
            # The next request meets an end that the client could not have seen before it sent.
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(reply)

    async def main() -> None:
        async with peer(talk) as port, calling() as client:
            await client.request(HOST, port, "GET", "/", timeout=5)
            if reply:
                with pytest.raises(HttpError, match="closed"):
                    await client.request(HOST, port, "GET", "/", timeout=5)
            else:
                assert (await client.request(HOST, port, "GET", "/", timeout=5)).connect_seconds > 0

    run(main())

    assert len(requests) == (2 if reply else 3)


@pytest.mark.parametrize("how", ["resend=False", "a body that cannot be sent twice"])
def test_a_request_that_may_not_be_sent_twice_is_not(run: Run, how: str) -> None:
    async def main() -> None:
        async with peer(saying(OK, b"")) as port, calling() as client:
            await client.request(HOST, port, "GET", "/", timeout=5)
            options: dict[str, Any] = {"resend": False} if how == "resend=False" else {"body": parts(b"x")}
            with pytest.raises(HttpError) as caught:
                await client.request(HOST, port, "POST", "/", timeout=5, **options)
            assert caught.value.kind == "closed"

    run(main())


def test_a_connection_that_dies_at_once_each_time_is_not_tried_for_ever(run: Run) -> None:
    requests: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not requests:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(OK)
        requests.append(await reader.readuntil(b"\r\n\r\n"))

    async def main() -> None:
        async with peer(talk) as port, calling() as client:
            await client.request(HOST, port, "GET", "/", timeout=5)
            with pytest.raises(HttpError, match="closed"):
                await client.request(HOST, port, "GET", "/", timeout=5)

    run(main())

    assert len(requests) == 3


def test_an_early_reply_is_returned_though_the_body_is_not_sent(run: Run) -> None:
    closed: list[bool] = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed.append(True)

    async def main() -> None:
        early = b"HTTP/1.1 413 Too much\r\nContent-Length: 2\r\n\r\nno"
        async with peer(saying(early, wait=True)) as port, calling() as client:
            whole = await client.request(HOST, port, "POST", "/", body=b"x" * 30_000_000, timeout=5)
            streamed = await client.request(HOST, port, "POST", "/", body=endless(), timeout=5)
            assert (whole.status, streamed.status, streamed.body) == (413, 413, b"no")
            assert not client._idle.get((HOST, port))
            await until(lambda: bool(closed))

    run(main())


def test_a_body_whose_iterator_fails_raises_that_error(run: Run) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise KeyError("mine")

    async def main() -> None:
        async with serving() as server, calling() as client:
            with pytest.raises(KeyError, match="mine"):
                await client.request(HOST, server.port, "POST", "/", body=broken(), timeout=5)
            await until(lambda: not server._connections)

    run(main())


def test_a_cancelled_request_closes_its_connection(run: Run) -> None:
    begun: list[bool] = []
    cancelled: list[bool] = []

    async def handler(request: Request) -> Response:
        begun.append(True)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return Response()

    async def main() -> None:
        async with serving(handler) as server, calling() as client:
            for call in (client.request, client.stream):
                task = asyncio.ensure_future(call(HOST, server.port, "GET", "/", timeout=5))
                await until(lambda: len(begun) == len(cancelled) + 1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await until(lambda: not server._connections)
            assert not client._busy

    run(main())

    assert cancelled == [True, True]


def test_a_request_is_cancelled_in_whatever_step_it_is(run: Run) -> None:
    async def main() -> None:
        async with peer(saying(wait=True)) as port, calling() as client:
            for steps in range(25):
                task = asyncio.ensure_future(client.request(HOST, port, "GET", "/", timeout=60))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task], timeout=5)
                assert task.cancelled(), f"not after {steps} steps"
            assert not client._busy

    run(main())


def test_a_streamed_reply_is_read_no_faster_than_it_is_taken(run: Run) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65536
            yield b"x" * 65536

    async def main() -> None:
        async with serving(lambda request: Response(200, [], endless())) as server, calling() as client:
            reply = await client.stream(HOST, server.port, "GET", "/", timeout=5)
            await reply.__anext__()
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.1)
            assert sent < 32 * 1024 * 1024
            await reply.aclose()
            await until(lambda: not server._connections)
            assert not client._busy

    run(main())


def test_a_streamed_reply_that_stalls_or_breaks_off_is_an_error(run: Run) -> None:
    async def main() -> None:
        start = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"
        for wait, kind in ((True, "timeout"), (False, "closed")):
            async with peer(saying(start, wait=wait)) as port, calling() as client:

                async def read(client: Client, port: int, timeout: float) -> bytes:
                    reply = await client.stream(HOST, port, "GET", "/", timeout=timeout)
                    return b"".join([part async for part in reply])

                with pytest.raises(HttpError) as caught:
                    await read(client, port, 0.2 if wait else 5.0)
                assert caught.value.kind == kind
                assert not client._busy

    run(main())


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET /", "/", []),
        ("GET", "/a b", []),
        ("GET", "/\r\nX: y", []),
        ("GET", "", []),
        ("GET", "/", [(b"X", b"a\r\nb: c")]),
        ("GET", "/", [(b"X:", b"a")]),
    ],
)
def test_what_would_break_out_of_its_line_is_never_sent(run: Run, method: str, target: str, headers: Any) -> None:
    async def main() -> None:
        async with calling() as client:
            with pytest.raises(HttpError) as caught:
                await client.request(HOST, 1, method, target, headers, timeout=5)
            assert caught.value.kind == "malformed"

    run(main())


def test_a_closed_client_ends_its_requests_and_takes_no_more(run: Run) -> None:
    async def main() -> None:
        async with peer(saying(wait=True)) as port:
            client = Client()
            task = asyncio.ensure_future(client.request(HOST, port, "GET", "/", timeout=5))
            await until(lambda: bool(client._busy))
            await client.close()
            with pytest.raises(HttpError, match="closed"):
                await task
            with pytest.raises(HttpError, match="closed"):
                await client.request(HOST, port, "GET", "/", timeout=5)

    run(main())
