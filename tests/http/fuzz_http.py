"""Coverage-guided fuzzing of what reads HTTP, by hand: needs `pip install atheris httptools`.

    PYTHONPATH=src python tests/http/fuzz_http.py server -max_total_time=300
    PYTHONPATH=src python tests/http/fuzz_http.py client -max_total_time=180

The first argument is what reads: the server's requests or the client's replies; the rest goes to libFuzzer. An input
that is read otherwise in pieces than whole, makes a reader raise, or spoils the next reply, is written down as a file.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["seaproof.http"]):
    from seaproof.errors import HttpError, RequestError
    from seaproof.http.body import BodyStream
    from seaproof.http.inbound import RequestReader
    from seaproof.http.limits import ServerLimits
    from seaproof.http.message import Request
    from seaproof.http.wire import Wire

LIMITS = ServerLimits(header_bytes=2000, body_bytes=1000)
POST = b"POST /a%20b?c=d HTTP/1.1\r\nHost: t\r\n"
CHUNKED = b'Transfer-Encoding: chunked\r\n\r\n3;a="b"\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\n'
REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: t\r\n\r\n" * 3,
    b"GET http://t/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\nHEAD * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    POST + b"Content-Length: 5\r\n\r\n1,2,3" + POST + CHUNKED,
    POST + b"Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab",
    POST + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nab" + POST + b"Upgrade: x\r\n\r\n",
    POST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n" + CHUNKED + b"OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n",
    b"GET /#a HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    POST + b"Content-Length: 5\r\n" + CHUNKED,
    POST + b"X: " + b"a" * 1990 + b"\r\n\r\n",
    POST + b"Content-Length: 1001\r\n\r\n",
]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REPLIES = [
    OK,
    OK + b"HTTP/1.1 500 No\r\n",
    OK + b"\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX: y\r\n\r\n" + OK,
    b"HTTP/1.1 200 OK\r\n" + CHUNKED,
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 204 No\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 150\r\n\r\n" + b"a" * 150,
]


class Heard:
    """A sink that remembers what a server would be asked."""

    now = 0.0

    def __init__(self, may_stream: bool) -> None:
        self.may_stream = may_stream
        self.requests: list[tuple[Request, BodyStream | None]] = []
        self.refusals: list[int] = []

    def deliver(self, request: Request, keep_alive: bool, old: bool) -> None:
        assert not self.refusals, "a request after a refusal"
        stream = request.stream if isinstance(request.stream, BodyStream) else None
        self.requests.append((request, stream))

    def refuse(self, status: int, what: str, next_step: str) -> None:
        assert what
        assert next_step
        self.refusals.append(status)

    def expects(self) -> None:
        pass

    def wants_stream(self, request: Request) -> bool:
        return self.may_stream

    def open_stream(self, request: Request) -> BodyStream | None:
        return BodyStream(1 << 30, lambda stop: None) if self.may_stream else None

    def record(self) -> list[Any]:
        """What was heard, one entry per request, a last number for a refusal."""
        found: list[Any] = []
        for request, stream in self.requests:
            body = request.body if stream is None else b"".join(stream._parts)
            assert len(body) <= LIMITS.body_bytes
            whole = stream is None or stream.complete
            found.append((request.method, request.path, request.query, request.headers, body, whole))
            if stream is not None and stream._error is not None:
                assert isinstance(stream._error, RequestError)
                self.refusals.append(stream._error.status)
        assert len(self.refusals) <= 1
        return found + self.refusals


def read_requests(options: int, whole: bytes, parts: list[bytes]) -> None:
    """One stretch of input, whole and in parts: the same requests, the same refusal."""
    records = []
    for way in ([whole], parts):
        sink = Heard(bool(options & 1))
        reader = RequestReader(LIMITS, sink, sink.may_stream)
        for part in way:
            reader.feed(part)
        records.append(sink.record())
    first, second = ([entry for entry in record if isinstance(entry, tuple)] for record in records)
    statuses = [record[len(heard) :] for record, heard in zip(records, (first, second), strict=True)]
    if [431] in statuses:
        # How much came at once may decide whether it was too long; what was read before that is the same.
        first, second = first[: len(second)], second[: len(first)]
    else:
        # Of two faults in one head the parser may name either.
        assert bool(statuses[0]) == bool(statuses[1]), records
    if options & 1 and any(statuses):
        # Of a body that is broken off more or less may be there.
        first, second = ([entry[:4] for entry in heard] for heard in (first, second))
    assert first == second, records


class Line(asyncio.Transport):
    """A transport that leads nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def write(self, data: Any) -> None:
        pass

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def read_reply(loop: asyncio.AbstractEventLoop, options: int, parts: list[bytes], end: bool) -> tuple[Any, ...]:
    """What a client makes of a reply in these parts; a connection it would use again carries a second reply."""
    wire, line = Wire(loop, "there", lambda _: None), Line()
    wire.connection_made(line)
    stream_over = 0 if options & 2 else None
    done = wire.send(b"", b"", None, head_only=bool(options & 1), max_body=100, stream_over=stream_over)
    for part in parts:
        if not line.closed:
            wire.data_received(part)
    if not wire.complete and (end or line.closed):
        wire.connection_lost(None)
        assert done.done()
    error = done.exception() if done.done() else None
    if error is None and wire.stream is not None:
        error = wire.stream._error
    assert error is None or (isinstance(error, HttpError) and error.where == "there"), error
    if error is not None or not wire.complete:
        return (getattr(error, "kind", "waits"),)
    body = b"".join(wire.stream._parts if wire.stream is not None else wire.parts)
    assert len(body) <= 100
    found = wire.status, wire.headers, body
    if wire.release(0.0):
        again = wire.send(b"", b"", None, head_only=False, max_body=None, stream_over=None)
        wire.data_received(OK)
        assert again.done(), "the next reply is not understood"
        assert (wire.status, wire.parts) == (200, [b"ok"]), (wire.status, wire.headers, wire.parts)
    return found


def read_replies(loop: asyncio.AbstractEventLoop, options: int, whole: bytes, parts: list[bytes]) -> None:
    """One stretch of input, whole and in parts: the same reply or the same error."""
    end = bool(options & 4)
    first, second = (read_reply(loop, options, way, end) for way in ([whole], parts))
    assert first == second, (first, second)


def main() -> None:
    """Fuzz the reader named until libFuzzer stops."""
    seeds = {"server": REQUESTS, "client": REPLIES}[sys.argv[1]]
    loop = asyncio.new_event_loop()

    def once(data: bytes) -> None:
        """The first byte is options, the next three are where to cut (a fourth cut is midway), the rest is input."""
        options, cuts, wire = data[:1], data[1:4], data[4:]
        if not wire:
            return
        edges = sorted({0, len(wire) // 2, *(cut * len(wire) // 256 for cut in cuts), len(wire)})
        parts = [wire[start:end] for start, end in pairwise(edges)]
        if options[0] & 128:
            parts = [wire[at : at + 1] for at in range(len(wire))]
        if sys.argv[1] == "server":
            read_requests(options[0], wire, parts)
        else:
            read_replies(loop, options[0], wire, parts)

    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds):
            for options in range(8):
                Path(folder, f"{number}-{options}").write_bytes(
                    bytes([options + 128 * (number % 2), 60, 9, 200]) + seed
                )
        atheris.Setup([sys.argv[0], "-timeout=10", "-rss_limit_mb=2048", "-max_len=6000", *sys.argv[2:], folder], once)
        atheris.Fuzz()


main()
