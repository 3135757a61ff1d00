"""Answers in pieces, on the wire: when each part goes out, how a stream ends, and what goes on beside it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from container_process import Container, soon

from seaproof.errors import RequestError
from seaproof.http.message import Response
from seaproof.http.outbound import close_body
from seaproof.serving.predictions import AsyncThread, PlainThread
from seaproof.serving.predictor import Parts
from seaproof.serving.streams import stream

# The body of a request says what becomes of its stream; `path` is a folder for what is to be seen from outside.
PARTS = """
import pathlib, time

def parts(data):
    what, path = data.split(",")
    folder = pathlib.Path(path)
    try:
        yield "first "
        if what == "fail":
            raise ValueError("no more parts")
        while what == "endless":
            time.sleep(0.01)
            yield b"x" * 1000
        deadline = time.monotonic() + 10
        while not (folder / "go").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
            yield ""
        yield b"second "
        yield bytearray(b"third")
    finally:
        (folder / "closed").touch()
"""
ASYNC_PARTS = PARTS.replace("import pathlib, time", "import asyncio, pathlib, time").replace(
    "    finally:\n", "    finally:\n        await asyncio.sleep(0.05)\n"
)
for old, new in (("def parts", "async def parts"), ("time.sleep", "await asyncio.sleep")):
    ASYNC_PARTS = ASYNC_PARTS.replace(old, new)

TRANSFORM = "def transform_fn(model, data, content_type, accept):\n    return parts(data)\n"
PREDICT = "def input_fn(data, content_type):\n    return data\ndef predict_fn(data, model):\n    return parts(data)\n"
OUTPUT = (
    "def input_fn(data, content_type):\n    return data\ndef predict_fn(data, model):\n    return data\n"
    "def output_fn(prediction, accept):\n    return parts(prediction)\n"
)
WAYS = {
    "transform_fn": PARTS + TRANSFORM,
    "predict_fn": PARTS + PREDICT,
    "output_fn": PARTS + OUTPUT,
    "async transform_fn": ASYNC_PARTS + "async " + TRANSFORM,
    "async predict_fn": ASYNC_PARTS + PREDICT.replace("def predict", "async def predict"),
    "plain function, async iterator": ASYNC_PARTS + TRANSFORM,
    "async function, plain iterator": PARTS + "async " + TRANSFORM,
}


@contextmanager
def asked(container: Container, body: str, old: bool = False) -> Iterator[socket.socket]:
    """A socket on which a request was sent."""
    with socket.create_connection(("127.0.0.1", container.port), timeout=10) as wire:
        version = b"1.0" if old else b"1.1"
        head = b"POST /invocations HTTP/%b\r\nHost: x\r\nContent-Type: text/csv\r\nAccept: text/plain\r\n" % version
        wire.sendall(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body.encode()))
        yield wire


def read_until(wire: socket.socket, end: bytes) -> bytes:
    heard = b""
    while end not in heard:  # of an endless stream, more may come with it
        piece = wire.recv(65536)
        assert piece, heard
        heard += piece
    return heard


def read_all(wire: socket.socket) -> bytes:
    heard = b""
    while piece := wire.recv(65536):
        heard += piece
    return heard


@pytest.mark.parametrize("way", WAYS)
def test_each_part_goes_out_as_it_is_made(container: Container, way: str) -> None:
    container.serve(WAYS[way])

    with asked(container, f"three,{container.root}") as wire:
        head = read_until(wire, b"6\r\nfirst \r\n")
        assert not (container.root / "closed").exists()
        (container.root / "go").touch()
        rest = read_until(wire, b"0\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nTransfer-Encoding: chunked\r\n" in head
    assert b"\r\ncontent-type: text/plain\r\n" in head.lower()
    assert rest == b"7\r\nsecond \r\n5\r\nthird\r\n0\r\n\r\n"
    soon((container.root / "closed").exists)


@pytest.mark.parametrize("way", ["transform_fn", "async transform_fn", "plain function, async iterator"])
def test_the_iterator_is_closed_when_its_client_leaves(container: Container, way: str) -> None:
    container.serve(WAYS[way])

    with asked(container, f"endless,{container.root}") as wire:
        read_until(wire, b"6\r\nfirst \r\n")

    soon((container.root / "closed").exists)
    assert container.get("/ping").status == 200
    assert "Traceback" not in container.log
    assert "never retrieved" not in container.log


def test_a_client_that_leaves_while_an_async_part_is_awaited_closes_it_at_once(container: Container) -> None:
    container.serve(WAYS["async transform_fn"].replace("asyncio.sleep(0.01)", "asyncio.sleep(600)"))

    with asked(container, f"endless,{container.root}") as wire:
        read_until(wire, b"6\r\nfirst \r\n")

    soon((container.root / "closed").exists)
    assert "Traceback" not in container.log


@pytest.mark.parametrize("way", ["transform_fn", "async transform_fn", "plain function, async iterator"])
def test_a_client_that_leaves_before_the_first_part_closes_it_too(container: Container, way: str) -> None:
    begun = container.root / "begun"
    wait = "time.sleep(0.5)" if way == "transform_fn" else "await asyncio.sleep(0.5)"
    slow = f"    try:\n        (folder / 'begun').touch()\n        {wait}\n"
    container.serve(WAYS[way].replace("    try:\n", slow, 1))

    with asked(container, f"endless,{container.root}"):
        soon(begun.exists)

    soon((container.root / "closed").exists)
    assert "Traceback" not in container.log


@pytest.mark.parametrize("way", WAYS)
def test_an_exception_after_the_first_part_leaves_the_answer_incomplete(container: Container, way: str) -> None:
    container.serve(WAYS[way])

    with asked(container, f"fail,{container.root}") as wire:
        heard = read_all(wire)

    assert heard.startswith(b"HTTP/1.1 200 OK\r\n")
    assert heard.endswith(b"6\r\nfirst \r\n")  # what was made is there, and the last chunk is not
    soon((container.root / "closed").exists)
    assert "inference.py" in container.log
    assert "ValueError: no more parts" in container.log
    assert container.log.count("Traceback") == 1
    assert container.get("/ping").status == 200


def test_a_client_without_chunks_sees_a_reset_where_a_stream_fails(container: Container) -> None:
    container.serve(WAYS["transform_fn"])

    with asked(container, f"fail,{container.root}", old=True) as wire, pytest.raises(ConnectionResetError):
        read_all(wire)


@pytest.mark.parametrize("returned", ["5", "None", "[b'1']"])
def test_a_part_that_is_no_text_is_500_before_the_first_part(container: Container, returned: str) -> None:
    container.serve(f"def transform_fn(model, data, content_type, accept):\n    yield {returned}\n")

    reply = container.invoke("1")

    assert reply.status == 500
    assert "is to be bytes or str" in reply.json["error"]


def test_an_empty_stream_is_an_empty_answer(container: Container) -> None:
    container.serve("def transform_fn(model, data, content_type, accept):\n    return iter(())\n")

    reply = container.invoke("1")

    assert (reply.status, reply.body) == (200, b"")


def test_the_time_limit_of_a_prediction_does_not_cut_a_stream(container: Container) -> None:
    container.serve(
        "import time\n"
        "def transform_fn(model, data, content_type, accept):\n"
        "    for number in range(4):\n        yield str(number)\n        time.sleep(0.5)\n",
        SAGEMAKER_MODEL_SERVER_TIMEOUT="1.5",
    )

    assert container.invoke("1").body == b"0123"


def test_a_first_part_over_the_time_limit_is_504(container: Container) -> None:
    container.serve(
        "import time\ndef transform_fn(model, data, content_type, accept):\n    time.sleep(60)\n    yield b'1'\n",
        SAGEMAKER_MODEL_SERVER_TIMEOUT="0.4",
    )

    assert container.invoke("1").status == 504


def test_other_requests_get_their_turn_between_the_parts_of_streams(container: Container) -> None:
    container.serve(
        PARTS + "def transform_fn(model, data, content_type, accept):\n"
        "    return parts(data) if ',' in data else data\n"
    )

    with (
        asked(container, f"endless,{container.root}") as one,
        asked(container, f"endless,{container.root}") as other,
    ):
        for wire in (one, other):
            read_until(wire, b"x\r\n")
        for number in range(10):
            assert container.invoke(str(number)).body == str(number).encode()
            assert container.get("/ping").status == 200
        for wire in (one, other):
            read_until(wire, b"x\r\n")


def test_a_stream_that_is_not_complete_in_time_is_broken_off(caplog: pytest.LogCaptureFixture) -> None:
    closed = []

    def parts() -> Iterator[str]:
        try:
            while True:
                time.sleep(0.02)
                yield "."
        finally:
            closed.append(True)

    async def read() -> bytes:
        thread = PlainThread(asyncio.get_running_loop())
        answer = await stream(Parts(200, [], parts()), thread, longest=0.3)
        assert isinstance(answer, Response)
        assert not isinstance(answer.body, bytes)
        heard = b""
        try:
            async for piece in answer.body:
                heard += piece
        except RequestError as error:
            assert "not complete within 0.3 s" in error.what  # noqa: PT017 - what was heard before counts too
        else:
            raise AssertionError("the stream came to an end")
        await thread.submit(lambda _: None, None)  # after what closes the iterator
        return heard

    assert 0 < len(asyncio.run(read())) < 20
    assert closed == [True]


def test_a_stream_that_is_closed_before_a_part_has_gone_out_closes_the_iterator() -> None:
    closed = threading.Event()

    async def parts() -> AsyncIterator[str]:
        try:
            yield "."
        finally:
            closed.set()

    async def leave() -> None:
        answer = await stream(Parts(200, [], parts()), AsyncThread())
        await close_body(answer.body)

    asyncio.run(leave())

    assert closed.wait(10)


def test_a_stream_of_a_file_is_its_lines(container: Container, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("a\nb\n")
    container.serve(
        "def transform_fn(model, data, content_type, accept):\n"
        f"    return open({str(tmp_path / 'lines')!r}), 'text/csv'\n"
    )

    reply = container.invoke("1")

    assert (reply.body, reply.headers["content-type"]) == (b"a\nb\n", "text/csv")


def test_an_asynchronous_iterator_of_a_plain_function_has_the_time_limit_for_its_first_part(
    container: Container,
) -> None:
    container.serve(
        "import asyncio\ndef transform_fn(model, data, content_type, accept):\n    return parts()\n"
        "async def parts():\n    await asyncio.sleep(30)\n    yield 'late'\n",
        SAGEMAKER_MODEL_SERVER_TIMEOUT="0.5",
    )

    assert container.invoke("1").status == 504
