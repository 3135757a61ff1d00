"""What a well-behaved client sees of the server."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from talk import closing_reply, connected, echo, get, post, replies, say, serving, until

from seaproof.errors import RequestError
from seaproof.http.limits import ServerLimits
from seaproof.http.message import Request, Response

Run = Callable[..., Any]
CLOSE = b"Connection: close"


def describe(request: Request) -> Response:
    seen = {"method": request.method, "path": request.path, "query": request.query, "body": request.body.decode()}
    return Response(200, [], json.dumps(seen).encode())


async def parts(*them: bytes) -> AsyncIterator[bytes]:
    for part in them:
        yield part
        await asyncio.sleep(0)


def test_a_connection_serves_one_request_after_another(run: Run) -> None:
    async def main() -> bytes:
        async with serving() as server, connected(server.port) as (reader, writer):
            heard = b""
            for body in (b"one", b"", b"three"):
                writer.write(post(body))
                heard += await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(len(body))
            return heard

    assert replies(run(main())) == [(200, b"one"), (200, b""), (200, b"three")]


def test_a_response_is_its_headers_as_given_and_the_length(run: Run) -> None:
    async def main() -> bytes:
        def handler(request: Request) -> Response:
            return Response(201, [(b"x-amzn-RequestId", b"7"), (b"Content-Length", b"99")], b"abc")

        async with serving(handler) as server:
            return await say(server.port, get(b"/", CLOSE))

    assert run(main()) == (
        b"HTTP/1.1 201 Created\r\nx-amzn-RequestId: 7\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
    )


def test_a_request_has_method_decoded_path_query_and_body(run: Run) -> None:
    async def main() -> tuple[int, bytes]:
        async with serving(describe) as server:
            return await closing_reply(server.port, post(b"row", CLOSE, path=b"/models/a%20b/invoke?x=%41&y"))

    status, body = run(main())

    assert status == 200
    assert json.loads(body) == {"method": "POST", "path": "/models/a b/invoke", "query": "x=%41&y", "body": "row"}


def test_an_absolute_target_is_taken_for_its_path(run: Run) -> None:
    async def main() -> tuple[int, bytes]:
        async with serving(describe) as server:
            return await closing_reply(server.port, get(b"http://test:80/ping?a", CLOSE))

    assert json.loads(run(main())[1])["path"] == "/ping"


def test_header_names_are_lower_case_and_values_bare(run: Run) -> None:
    seen: list[Any] = []

    async def main() -> None:
        def handler(request: Request) -> Response:
            seen.append(request.headers)
            return Response()

        async with serving(handler) as server:
            await closing_reply(server.port, get(b"/", b"X-MiXed:  a b\t ", b"Empty:", CLOSE))

    run(main())

    assert seen == [[(b"host", b"test"), (b"x-mixed", b"a b"), (b"empty", b""), (b"connection", b"close")]]


@pytest.mark.parametrize(
    ("lines", "ending"), [((), b"Connection: close\r\n\r\nhi"), ((b"Connection: keep-alive",), b"keep-alive\r\n\r\nhi")]
)
def test_http_1_0_closes_unless_asked_to_stay(run: Run, lines: tuple[bytes, ...], ending: bytes) -> None:
    async def main() -> bytes:
        async with serving() as server:
            wire = post(b"hi", *lines).replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"Host: test\r\n", b"")
            async with connected(server.port) as (reader, writer):
                writer.write(wire)
                heard = await reader.readuntil(b"\r\n\r\nhi")
                assert lines or await reader.read() == b""
                return heard

    assert run(main()).endswith(ending)


def test_pipelined_answers_come_in_order_though_later_ones_are_ready_first(run: Run) -> None:
    async def main() -> bytes:
        async def slow(request: Request) -> Response:
            await asyncio.sleep(0.01)
            return Response(200, [], request.body)

        def handler(request: Request) -> Any:
            if request.path == "/stream":
                return Response(200, [], parts(b"st", b"", b"ream"))
            return slow(request) if request.path == "/slow" else echo(request)

        async with serving(handler) as server:
            wire = (
                post(b"a", path=b"/slow") + post(b"b") + get(b"/stream") + post(b"c", path=b"/slow") + post(b"", CLOSE)
            )
            return await say(server.port, wire)

    assert replies(run(main())) == [(200, b"a"), (200, b"b"), (200, b"stream"), (200, b"c"), (200, b"")]


def test_thousands_of_pipelined_requests_wait_without_being_held_in_memory(run: Run) -> None:
    most = 0

    async def main() -> bytes:
        async def handler(request: Request) -> Response:
            nonlocal most
            (connection,) = server._connections
            most = max(most, len(connection._pending))
            return echo(request)

        async with serving(handler, limits=ServerLimits(pipelined=4)) as server:
            wire = b"".join(post(b"%d" % number) for number in range(5000)) + get(b"/", CLOSE)
            return await say(server.port, wire)

    found = replies(run(main()))

    assert [body for _, body in found] == [b"%d" % number for number in range(5000)] + [b""]
    # What one slice of 32 KiB holds is the only thing that goes beyond the limit.
    assert most < 32 * 1024 / len(post(b"1")) + 4


def test_a_chunked_body_arrives_whole_and_trailers_are_dropped(run: Run) -> None:
    async def main() -> tuple[int, bytes]:
        head = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: Chunked\r\nConnection: close\r\n\r\n"
        async with serving() as server:
            return await closing_reply(server.port, head, b"3;a=b\r\nabc\r\n", b"1\r\nd\r\n0\r\nTrailer: x\r\n\r\n")

    assert run(main()) == (200, b"abcd")


def test_a_streamed_response_is_chunked_or_has_the_length_its_handler_gave(run: Run) -> None:
    async def main() -> list[bytes]:
        def handler(request: Request) -> Response:
            given = [(b"Content-Length", b"3")] if request.path == "/known" else []
            return Response(200, [*given], parts(b"ab", b"c"))

        async with serving(handler) as server:
            old = get(b"/").replace(b"HTTP/1.1", b"HTTP/1.0")
            return [await say(server.port, wire) for wire in (get(b"/", CLOSE), get(b"/known", CLOSE), old)]

    chunked, known, old = run(main())

    assert chunked.endswith(b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
    assert known.endswith(b"Content-Length: 3\r\nConnection: close\r\n\r\nabc")
    assert old == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"


@pytest.mark.parametrize("body", [b"ab", b"abcd"])
def test_a_streamed_body_that_breaks_its_promised_length_breaks_the_connection(
    run: Run, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> bytes:
        def handler(request: Request) -> Response:
            return Response(200, [(b"Content-Length", b"3")], parts(body))

        async with serving(handler) as server:
            return await say(server.port, get(b"/") + get(b"/"))

    assert run(main()).count(b"HTTP/1.1 ") <= 1
    assert "a streamed reply failed on its way" in caplog.text


def test_head_is_answered_without_a_body(run: Run) -> None:
    async def main() -> bytes:
        def handler(request: Request) -> Response:
            if request.path == "/stream":
                return Response(200, [], parts(b"x"))
            return Response(
                200,
                [(b"Content-Length", b"7")] if request.path == "/known" else [],
                b"" if "k" in request.path else b"abc",
            )

        async with serving(handler) as server:
            wires = [get(path).replace(b"GET", b"HEAD") for path in (b"/", b"/stream", b"/known")]
            return await say(server.port, *wires, get(b"/", CLOSE))

    heard = run(main())

    assert b"Content-Length: 3\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1" in heard
    assert b"Content-Length: 7\r\n\r\nHTTP/1.1" in heard
    assert replies(heard, ["HEAD", "HEAD", "HEAD", "GET"]) == [(200, b"")] * 3 + [(200, b"abc")]


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_body_has_neither_body_nor_length(run: Run, status: int) -> None:
    async def main() -> bytes:
        async with serving(lambda request: Response(status, [], b"ignored")) as server:
            return await say(server.port, get(b"/", CLOSE))

    assert run(main()).endswith(b"\r\nConnection: close\r\n\r\n")
    assert b"Content-Length" not in run(main())


def test_leave_to_send_is_given_once_and_only_for_a_body_that_would_be_taken(run: Run) -> None:
    async def main() -> list[bytes]:
        async with serving(limits=ServerLimits(body_bytes=10)) as server:
            heard = []
            for length in (5, 11):
                async with connected(server.port) as (reader, writer):
                    lines = b"Expect: 100-Continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % length
                    writer.write(b"POST / HTTP/1.1\r\nHost: t\r\n" + lines)
                    heard.append(await reader.readline())
                    writer.write(b"x" * length)
                    heard.append(await reader.read(-1))
            return heard

    leave, reply, refusal, _ = run(main())

    assert leave == b"HTTP/1.1 100 Continue\r\n"
    assert refusal.startswith(b"HTTP/1.1 413 ")
    assert reply.endswith(b"\r\n\r\nxxxxx")
    assert b" 100 " not in reply


def test_leave_to_send_waits_for_the_answers_before_it(run: Run) -> None:
    async def main() -> bytes:
        async def handler(request: Request) -> Response:
            await asyncio.sleep(0.02)
            return echo(request)

        async with serving(handler) as server, connected(server.port) as (reader, writer):
            expecting = (
                b"POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
            )
            writer.write(post(b"first") + expecting)
            heard = await reader.readuntil(b"100 Continue\r\n\r\n")
            writer.write(b"hi")
            return heard + await reader.read(-1)

    first, _, second = run(main()).partition(b"HTTP/1.1 100 Continue\r\n\r\n")

    assert replies(first) == [(200, b"first")]
    assert replies(second) == [(200, b"hi")]


def test_an_upgrade_that_is_not_understood_is_served_as_if_not_asked_for(run: Run) -> None:
    async def main() -> bytes:
        lines = (b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABkAAQ")
        chunked = (
            b"POST / HTTP/1.1\r\nHost: t\r\nUpgrade: h2c\r\nConnection: upgrade\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        async with serving() as server:
            wire = post(b"one", *lines) + get(b"/", *lines) + chunked + b"2\r\nok\r\n0\r\n\r\n" + post(b"end", CLOSE)
            return await say(server.port, wire)

    assert replies(run(main())) == [(200, b"one"), (200, b""), (200, b"ok"), (200, b"end")]


def test_a_request_error_is_answered_in_its_own_words(run: Run) -> None:
    async def main() -> bytes:
        def handler(request: Request) -> Response:
            raise RequestError(
                415, "no xml here", where="/x", next_step="Send CSV.", headers={"Accept-Post": "text/csv"}
            )

        async with serving(handler) as server:
            return await say(server.port, get(b"/", CLOSE))

    heard = run(main())

    assert heard.startswith(b"HTTP/1.1 415 ")
    assert b"\r\nAccept-Post: text/csv\r\n" in heard
    assert json.loads(replies(heard)[0][1]) == {"error": "no xml here", "where": "/x", "next_step": "Send CSV."}


def crash(request: Request) -> Response:
    raise KeyError("secret")


async def crash_later(request: Request) -> Response:
    raise KeyError("secret")


@pytest.mark.parametrize(
    "handler",
    [
        crash,
        crash_later,
        lambda request: None,
        lambda request: Response(200, [(b"X", b"a\r\nY: secret")]),
        lambda request: Response(200, [(b"X Y", b"secret")]),
        lambda request: Response(99, []),
        lambda request: Response(200, [], "secret"),
    ],
)
def test_a_handler_that_fails_is_answered_500_and_logged(
    run: Run, handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> bytes:
        async with serving(handler) as server:
            return await say(server.port, get(b"/a") + get(b"/b", CLOSE))

    heard = run(main())

    assert [status for status, _ in replies(heard)] == [500, 500]
    assert b"secret" not in heard
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


def test_a_request_body_is_streamed_no_faster_than_it_is_read(run: Run) -> None:
    size, held = 8 * 1024 * 1024, []

    async def main() -> tuple[int, bytes]:
        async def handler(request: Request) -> Response:
            assert request.stream is not None
            total = 0
            async for part in request.stream:
                total += len(part)
                held.append(request.stream._held)  # type: ignore[attr-defined]
                await asyncio.sleep(0)
            return Response(200, [], b"%d" % total)

        limits = ServerLimits(stream_bytes=100_000)
        async with serving(handler, stream_bodies=lambda request: request.method == "POST", limits=limits) as server:
            return await closing_reply(server.port, post(b"x" * size, CLOSE))

    assert run(main()) == (200, b"%d" % size)
    assert max(held) < 100_000 + 32 * 1024


def test_a_head_that_came_before_is_asked_again_whether_its_body_is_to_be_streamed(run: Run) -> None:
    async def main() -> bytes:
        wanted: list[bool] = []

        async def handler(request: Request) -> Response:
            if request.stream is None:
                return Response(200, [], b"whole:" + request.body)
            return Response(200, [], b"stream:" + b"".join([part async for part in request.stream]))

        async with (
            serving(handler, stream_bodies=lambda request: wanted[-1]) as server,
            connected(server.port) as (reader, writer),
        ):
            heard = b""
            for wanted[:] in ([False], [False], [True], [False]):
                writer.write(post(b"abc"))
                heard += await reader.readuntil(b":abc")
            return heard

    said = [body for status, body in replies(run(main()))]

    assert said == [b"whole:abc", b"whole:abc", b"stream:abc", b"whole:abc"]


def test_a_stream_left_unread_costs_the_connection_but_not_the_answer(run: Run) -> None:
    async def main() -> bytes:
        async def handler(request: Request) -> Response:
            return Response(404, [], b"no")

        async with serving(handler, stream_bodies=True) as server:
            return await say(server.port, post(b"x" * 3_000_000))

    heard = run(main())

    assert b"Connection: close" in heard
    assert replies(heard) == [(404, b"no")]


def test_a_streamed_body_over_the_limit_or_malformed_fails_the_reading_handler(run: Run) -> None:
    async def main() -> list[int]:
        async def handler(request: Request) -> Response:
            assert request.stream is not None
            return Response(200, [], b"".join([part async for part in request.stream]))

        head = b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
        async with serving(handler, stream_bodies=True, limits=ServerLimits(body_bytes=10)) as server:
            wires = (head + b"b\r\n12345678901\r\n0\r\n\r\n", head + b"2\r\nabXX", post(b"12345678901"))
            return [(await closing_reply(server.port, wire))[0] for wire in wires]

    assert run(main()) == [413, 400, 413]


def test_a_stream_gives_leave_to_send_when_it_is_first_read(run: Run) -> None:
    async def main() -> bytes:
        async def handler(request: Request) -> Response:
            assert request.stream is not None
            return Response(200, [], b"".join([part async for part in request.stream]))

        async with serving(handler, stream_bodies=True) as server, connected(server.port) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            heard = await reader.readuntil(b"100 Continue\r\n\r\n")
            writer.write(b"hi")
            return heard + await reader.readuntil(b"hi")

    assert run(main()).count(b"HTTP/1.1 ") == 2


def test_more_connections_than_allowed_are_told_so(run: Run) -> None:
    async def main() -> tuple[bytes, bytes]:
        async with serving(limits=ServerLimits(connections=1)) as server:
            async with connected(server.port) as (reader, writer):
                writer.write(get(b"/"))
                first = await reader.readline()
                second = await say(server.port)
            await until(lambda: not server._connections)
            return first, second + await say(server.port, get(b"/", CLOSE))

    first, later = run(main())

    assert first == b"HTTP/1.1 200 OK\r\n"
    assert [status for status, _ in replies(later)] == [503, 200]
