"""Large bodies through the gateway: passed on while they come, and what breaks off on its way is never a success."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

import pytest
from gateway_lab import Container, Front, gateway, reply
from pipeline_process import until

from seaproof.errors import RequestError
from seaproof.http.message import Request, Response
from seaproof.settings import Settings

MB = 2**20
PART = b"0.123456," * 7282  # close to 64 KiB
BODY = PART * 64


def passes_on(request: Request) -> Response:
    """Gives back what comes while it comes, with the length that it was told of if any."""
    assert request.stream is not None
    return Response(200, framing(request), request.stream)


def framing(request: Request) -> list[tuple[bytes, bytes]]:
    length = request.header(b"content-length")
    return [(b"Content-Type", b"text/csv"), *([(b"Content-Length", length.encode())] if length else [])]


def breaks_off(after: int, when: threading.Event | None = None) -> Callable[[Request], Response]:
    """As `passes_on`, but it dies after so many bytes of its reply, and not before `when`."""

    def answer(request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            left = after
            assert request.stream is not None
            async for part in request.stream:
                yield part[:left]
                left -= len(part)
                if left <= 0:
                    await asyncio.to_thread((when or threading.Event()).wait, 20 if when else 0)
                    raise RequestError(500, "the worker has died")

        return Response(200, framing(request), parts())

    return answer


async def whole(request: Request) -> Response:
    """Answers once it has all."""
    return reply(b"%d" % len(await body_of(request)), "text/plain")


async def body_of(request: Request) -> bytes:
    assert request.stream is not None
    return b"".join([part async for part in request.stream])


async def refuses(request: Request) -> Response:
    assert request.stream is not None
    await anext(request.stream)
    return reply(b"too large for me", "text/plain", 413)


def three(
    *answers: Callable[[Request], Response | Awaitable[Response]], seconds: float = 60.0
) -> AbstractContextManager[Front]:
    """A gateway in front of three containers that answer so, and are given so much time."""
    names = ("first", "second", "third")
    containers = [Container(name, answer, streams=True) for name, answer in zip(names, answers, strict=True)]
    return gateway(*containers, settings=Settings(invocation_timeout=seconds))


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "chunked"])
def test_the_first_byte_is_there_before_the_last_was_sent(chunked: bool):
    def framed(part: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(part), part) if chunked else part

    half = len(BODY) // 2
    with three(passes_on, passes_on, passes_on) as front, caller(front) as (connection, answer):
        length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(BODY)
        connection.sendall(b"POST /pipeline HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % length + framed(BODY[:half]))
        answer.begin()
        begun = answer.read(MB)
        rest = framed(BODY[half:]) + (b"0\r\n\r\n" if chunked else b"")
        sender = threading.Thread(target=connection.sendall, args=(rest,))
        sender.start()
        got = begun + answer.read()
        sender.join()

    assert answer.status == 200
    assert got == BODY
    assert (answer.getheader("Content-Length") is None) is chunked


@contextmanager
def caller(front: Front) -> Iterator[tuple[socket.socket, http.client.HTTPResponse]]:
    """A caller that sends and reads as it likes."""
    connection = socket.create_connection(("127.0.0.1", front.port), timeout=20)
    with connection, closing(http.client.HTTPResponse(connection)) as answer:
        yield connection, answer


def test_a_caller_that_sends_all_before_it_reads_gets_its_answer():
    body = BODY * 20  # more than all sockets on its way hold

    with three(passes_on, passes_on, passes_on) as front, caller(front) as (connection, answer):
        connection.settimeout(60)
        connection.sendall(b"POST /pipeline HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
        connection.sendall(body)
        answer.begin()
        got = answer.read()

    assert answer.status == 200
    assert got == body


def test_a_model_that_is_loaded_is_sent_the_body_while_it_comes_and_its_answer_goes_on_so():
    half = len(BODY) // 2
    first, model = (Container(name, passes_on, streams=True, multi=name == "model") for name in ("first", "model"))
    with (
        gateway(first, model, settings=Settings(invocation_timeout=60.0)) as front,
        caller(front) as (
            connection,
            answer,
        ),
    ):
        head = b"POST /pipeline?model=eye HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY)
        connection.sendall(head + BODY[:half])
        answer.begin()
        got = answer.read(MB)
        connection.sendall(BODY[half:])
        got += answer.read()

    assert (answer.status, got) == (200, BODY)
    assert model.looked_for == ["/models/eye"]
    assert model.paths == ["/models", "/models/eye/invoke"]


def test_a_model_that_got_lost_is_loaded_again_before_a_large_body_is_sent():
    model = Container("model", passes_on, streams=True, multi=True)
    with gateway(model) as front:
        before = front.post("?model=eye", BODY)
        model.loaded.clear()
        after = front.post("?model=eye", BODY)

    assert (before.status, before.body, after.status, after.body) == (200, BODY, 200, BODY)
    assert model.paths == ["/models", "/models/eye/invoke"] * 2


def test_a_large_body_that_a_model_answers_with_404_is_not_sent_again():
    async def no_such_row(request: Request) -> Response:
        await body_of(request)
        return reply(b"no such row", "text/plain", 404)

    model = Container("model", no_such_row, streams=True, multi=True)
    with gateway(Container("first", passes_on, streams=True), model) as front:
        got = front.post("?model=eye", BODY)

    assert (got.status, got.json["received"]["status"], got.json["received"]["first_bytes"]) == (
        502,
        404,
        "no such row",
    )
    assert model.paths == ["/models", "/models/eye/invoke"]


def test_what_is_small_goes_on_whole_with_its_length_even_where_it_came_in_chunks():
    seen: list[str] = []

    async def answer(request: Request) -> Response:
        seen.append(request.header(b"content-length"))
        body = await body_of(request)

        async def parts() -> AsyncIterator[bytes]:
            yield body

        return Response(200, [(b"Content-Type", b"text/csv")], parts())

    with three(answer, answer, answer) as front:
        connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=20)
        with closing(connection):
            connection.request("POST", "/pipeline", iter([b"1,", b"2"]), encode_chunked=True, headers={
                "Transfer-Encoding": "chunked"
            })  # fmt: skip
            got = connection.getresponse().read()

    assert got == b"1,2"
    assert seen == ["3", "3", "3"]


@pytest.mark.parametrize("query", ["?replies=all", "?trace=1"])
def test_who_wants_every_reply_gets_every_reply_whole(query: str):
    with three(passes_on, passes_on, passes_on) as front:
        got = front.post(query, BODY, Content_Type="text/csv").json

    replies = got if "all" in query else got["replies"]
    assert [replies[name] for name in ("first", "second", "third")] == [BODY.decode()] * 3


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "chunked"])
def test_a_step_that_breaks_off_in_its_reply_is_named_and_nothing_made_of_the_half_is_a_success(chunked: bool):
    def breaks(request: Request) -> Response:
        response = breaks_off(MB)(request)
        if chunked:
            response.headers.pop()
        return response

    with three(passes_on, breaks, whole) as front:
        got = front.post("", BODY, Content_Type="text/csv")
        report = front.reports[-1]

    assert got.status == 502
    assert (got.json["step"]["name"], got.json["cause"]) == ("second", "broken-off")
    assert "broke its reply off after" in got.json["detail"]
    assert got.json["received"]["status"] == 200
    assert got.json["received"]["first_bytes"].startswith("0.123456,")
    assert 0 < got.json["received"]["bytes"] <= MB
    assert "broke off: the connection was closed before the reply was complete" in report.problem
    assert [name for name, _, _ in report.steps] == ["first", "second", "third"]


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_reply_that_had_begun_to_go_to_the_caller_is_broken_off_and_explained_in_the_terminal(step: int):
    answers, seen = [passes_on, passes_on, passes_on], threading.Event()
    answers[step] = breaks_off(2 * MB, seen)
    with three(*answers) as front, caller(front) as (connection, answer):
        connection.sendall(b"POST /pipeline HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
        answer.begin()
        begun = answer.read(MB)
        seen.set()
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            answer.read()
        report = until(lambda: front.reports and front.reports[-1])

    assert (answer.status, begun) == (200, BODY[:MB])
    assert "had begun to go to the caller, and was broken off" in report.problem
    assert f"Step {step + 1}, {('first', 'second', 'third')[step]} " in report.problem
    assert report.status == 502


def test_a_step_that_refuses_before_it_has_all_ends_the_chain_and_the_steps_before_it():
    ended = []

    def notes(request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            assert request.stream is not None
            try:
                async for part in request.stream:
                    yield part
            finally:
                ended.append("first")

        return Response(200, framing(request), parts())

    with three(notes, passes_on, refuses) as front:
        got = front.post("", BODY * 4, Content_Type="text/csv")
        until(lambda: ended)
        metrics = front.send("GET", "/metrics").body.decode()

    assert got.status == 502
    assert (got.json["step"]["name"], got.json["cause"]) == ("third", "body-limit")
    assert got.json["sent"]["first_bytes"].startswith("0.123456,")
    assert 'Invocation4XXErrors_total{endpoint="pipeline",variant="AllTraffic",container="third"} 1' in metrics
    assert 'InvocationModelErrors_total{endpoint="pipeline",variant="AllTraffic",container="second"} 0' in metrics


def test_the_step_that_stalls_is_blamed_and_not_the_one_that_waits_for_it():
    def stalls(request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield PART * 16
            await asyncio.get_running_loop().create_future()

        return Response(200, framing(request), parts())

    with three(passes_on, stalls, whole, seconds=2.5) as front:
        got = front.post("", BODY, Content_Type="text/csv")

    assert got.status == 504
    assert (got.json["step"]["name"], got.json["cause"]) == ("second", "timeout")
    assert got.json["received"]["bytes"] == 16 * len(PART)


def test_a_step_that_does_not_read_is_blamed_and_not_the_one_that_cannot_send():
    async def never(request: Request) -> Response:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    with three(passes_on, never, whole, seconds=2.5) as front:
        got = front.post("", BODY, Content_Type="text/csv")

    assert got.status == 504
    assert (got.json["step"]["name"], got.json["cause"]) == ("second", "timeout")


def test_a_caller_that_goes_away_in_its_body_leaves_no_container_with_half_of_it():
    seen: list[Any] = []

    async def notes(request: Request) -> Response:
        seen.append(request.path)
        try:
            seen.append(len(await body_of(request)))
        except BaseException as error:
            seen.append(type(error))
            raise
        return reply(b"done")

    with three(passes_on, passes_on, notes) as front:
        with caller(front) as (connection, _):
            connection.sendall(
                b"POST /pipeline HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (8 * len(BODY)) + BODY
            )
            until(lambda: seen)  # it has come to the last one
        until(lambda: seen[1:])

    assert seen == ["/invocations", asyncio.CancelledError]


def test_a_body_over_the_limit_is_refused_in_the_middle_where_its_length_was_not_said():
    with three(passes_on, passes_on, whole) as front:
        connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=20)
        parts = (b"x" * MB for _ in range(101))
        with closing(connection):
            connection.request("POST", "/pipeline", parts, {"Transfer-Encoding": "chunked"}, encode_chunked=True)
            answer = connection.getresponse()
            said = json.loads(answer.read())

    assert answer.status == 413
    assert "over 104857600 bytes" in said["detail"]


def test_the_time_of_steps_that_run_beside_each_other_counts_once():
    with three(passes_on, passes_on, passes_on) as front:
        front.post("", BODY, Content_Type="text/csv")
        report = until(lambda: front.reports and front.reports[-1])
        lines = front.send("GET", "/metrics").body.decode().splitlines()

    inside = next(float(line.split()[1]) for line in lines if line.startswith("ModelLatency_seconds_sum"))
    assert report.status == 200
    assert inside <= report.seconds
    assert [status for _, status, _ in report.steps] == [200, 200, 200]
