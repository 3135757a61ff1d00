"""What a server must not accept: each request here is refused with a reason, and the server lives on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talk import closing_reply, gather_all, get, post, replies, say, serving

from seaproof.http.inbound import RequestReader
from seaproof.http.limits import ServerLimits
from seaproof.http.message import Request
from seaproof.http.server import run as run_on_uvloop

Run = Callable[..., Any]
LIMITS = ServerLimits(header_bytes=2000, body_bytes=1000, head_seconds=5.0)
START = b"POST / HTTP/1.1\r\nHost: test\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"

# (what it is, the bytes, the status): after each of them a second request hides, which must never be answered.
REFUSED = [
    ("no HTTP at all", b"hello\r\n\r\n", 400),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ("NUL bytes", b"\x00" * 64, 400),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("an unknown method", b"FETCH / HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    ("a lower-case method", b"get / HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    ("no version", b"GET /\r\n\r\n", 505),
    ("HTTP/0.9", b"GET / HTTP/0.9\r\n\r\n", 505),
    ("HTTP/2.0", b"GET / HTTP/2.0\r\nHost: t\r\n\r\n", 505),
    ("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: t\r\n\r\n", 400),
    ("HTTP/11.1", b"GET / HTTP/11.1\r\nHost: t\r\n\r\n", 400),
    ("another protocol", b"GET / SIP/2.0\r\nHost: t\r\n\r\n", 400),
    ("no target", b"GET HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    ("two targets", b"GET / /b HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    ("a target that is no path", b"GET ping HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    ("a target with a fragment", b"GET /#a HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    ("the same, with an upgrade", b"GET /#a HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", 400),
    ("a target with raw bytes", b"GET /\xff\xfe HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    ("a target with NUL", b"GET /\x00 HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    ("another scheme", b"GET ftp://t/ HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    ("CONNECT", b"CONNECT t:443 HTTP/1.1\r\nHost: t\r\n\r\n", 405),
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("two equal Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("two Hosts of 1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("a Host with a blank", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("a Host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("a blank before the colon", START + b"Content-Length : 5\r\n\r\nabcde", 400),
    ("a blank before the name", START + b" X: y\r\n\r\n", 400),
    ("a folded header", START + b"X: a\r\n b\r\n\r\n", 400),
    ("a header without colon", START + b"nonsense\r\n\r\n", 400),
    ("a header without name", START + b": x\r\n\r\n", 400),
    ("a name with a blank", START + b"X Y: z\r\n\r\n", 400),
    ("a name with NUL", START + b"X\x00Y: z\r\n\r\n", 400),
    ("a value with NUL", START + b"X: a\x00b\r\n\r\n", 400),
    ("a value with a bare CR", START + b"X: a\rb\r\n\r\n", 400),
    ("a value with a bare LF", START + b"X: a\nY: b\r\n\r\n", 400),
    ("lines that end in LF", b"GET / HTTP/1.1\nHost: t\n\n", 400),
    ("a head that ends in LF LF", START + b"X: a\n\n", 400),
    ("a head that ends in CR CR", START + b"X: a\r\r", 400),
    ("both framings", START + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("both framings, swapped", START + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    ("two lengths", START + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde", 400),
    ("two equal lengths", START + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", 400),
    ("a list of lengths", START + b"Content-Length: 5, 5\r\n\r\nabcde", 400),
    ("a negative length", START + b"Content-Length: -5\r\n\r\nabcde", 400),
    ("a signed length", START + b"Content-Length: +5\r\n\r\nabcde", 400),
    ("a hexadecimal length", START + b"Content-Length: 0x5\r\n\r\nabcde", 400),
    ("a length with a fraction", START + b"Content-Length: 5.0\r\n\r\nabcde", 400),
    ("an empty length", START + b"Content-Length:\r\n\r\n", 400),
    ("a length with a blank", START + b"Content-Length: 1 1\r\n\r\nabcde", 400),
    ("a length beyond 64 bits", START + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
    ("a length of nineteen digits", START + b"Content-Length: 0000000000000000005\r\n\r\nabcde", 413),
    ("an unknown coding", START + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    ("two codings", START + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    ("chunked twice", START + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked twice in a line", START + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked and then another", START + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    ("identity", START + b"Transfer-Encoding: identity\r\n\r\n", 501),
    ("chunked in quotes", START + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 501),
    ("chunked after a vertical tab", START + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked in 1.0", CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n", 400),
    ("a chunk size of letters", CHUNKED + b"xyz\r\nabc\r\n0\r\n\r\n", 400),
    ("a negative chunk size", CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n", 400),
    ("a chunk size with 0x", CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", 400),
    ("a chunk size with a blank", CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n", 400),
    ("a chunk size beyond 64 bits", CHUNKED + b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n", 400),
    ("no chunk size", CHUNKED + b"\r\nabc\r\n0\r\n\r\n", 400),
    ("a chunk that is longer than it says", CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", 400),
    ("a chunk that ends in LF", CHUNKED + b"3\r\nabc\n0\r\n\r\n", 400),
    ("a chunk size that ends in LF", CHUNKED + b"3\nabc\r\n0\r\n\r\n", 400),
    ("a chunk size with a bare CR", CHUNKED + b"3\rabc\r\n0\r\n\r\n", 400),
    ("an extension with a bare LF", CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n", 400),
    ("a trailer without colon", CHUNKED + b"0\r\nnonsense\r\n\r\n", 400),
    ("an unknown expectation", START + b"Expect: a-miracle\r\nContent-Length: 1\r\n\r\na", 417),
    ("a long target", b"GET /" + b"a" * 2100 + b" HTTP/1.1\r\nHost: t\r\n\r\n", 431),
    ("a long header", START + b"X: " + b"a" * 2100 + b"\r\n\r\n", 431),
    ("many headers", START + b"X: y\r\n" * 400 + b"\r\n", 431),
    ("a header that never ends", START + b"X: " + b"a" * 100_000, 431),
    ("a name that never ends", START + b"a" * 100_000, 431),
    ("a target that never ends", b"GET /" + b"a" * 100_000, 431),
    ("a body that is too long", START + b"Content-Length: 1001\r\n\r\n", 413),
    ("a chunk that is too long", CHUNKED + b"3e9\r\n" + b"a" * 1001 + b"\r\n0\r\n\r\n", 413),
    ("many chunks", CHUNKED + b"64\r\n" + (b"a" * 100 + b"\r\n64\r\n") * 11, 413),
    ("an extension that never ends", CHUNKED + b"1;" + b"a" * 100_000, 431),
    ("trailers that never end", CHUNKED + b"0\r\n" + b"X: y\r\n" * 20_000, 431),
]


@pytest.mark.parametrize(("wire", "status"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
@pytest.mark.parametrize("way", ["at once", "in pieces", "behind another"])
def test_a_request_that_breaks_the_rules_is_refused_and_nothing_after_it_is_served(
    wire: bytes, status: int, way: str
) -> None:
    async def main() -> bytes:
        async with serving(limits=LIMITS) as server:
            hidden = wire + get(b"/hidden")
            if way == "in pieces":
                step = max(1, len(hidden) // 300)
                heard = await say(server.port, *(hidden[at : at + step] for at in range(0, len(hidden), step)))
            else:
                heard = await say(server.port, (post(b"before") if way == "behind another" else b"") + hidden)
            after = await say(server.port, post(b"still here", b"Connection: close"))
            assert replies(after) == [(200, b"still here")]
            return heard

    answered = replies(run_on_uvloop(main()))
    if way == "behind another":
        assert answered.pop(0) == (200, b"before")

    ((found, body),) = answered
    said = json.loads(body)
    assert found == status
    assert said["error"]
    assert said["next_step"]


def test_the_server_still_answers_after_all_of_them_at_once(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> list[int]:
        async with serving(limits=LIMITS) as server:
            refused = await gather_all(say(server.port, wire) for _, wire, _ in REFUSED * 3)
            assert (await closing_reply(server.port, post(b"row", b"Connection: close"))) == (200, b"row")
            return [status for heard in refused for status, _ in replies(heard)]

    assert run(main()) == [status for *_, status in REFUSED] * 3
    assert caplog.records == []


class Heard:
    """A sink that remembers."""

    now = 0.0

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.refusals: list[int] = []

    def deliver(self, request: Request, keep_alive: bool, old: bool) -> None:
        self.requests.append(request)

    def refuse(self, status: int, what: str, next_step: str) -> None:
        self.refusals.append(status)

    def expects(self) -> None:
        pass

    def wants_stream(self, request: Request) -> bool:
        return False

    def open_stream(self, request: Request) -> None:
        return None


def heard(wire: bytes, cuts: list[int]) -> Heard:
    sink = Heard()
    reader = RequestReader(LIMITS, sink)
    for part in pieces(wire, cuts):
        reader.feed(part)
    return sink


def pieces(wire: bytes, cuts: list[int]) -> Iterator[bytes]:
    edges = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
    return (wire[start:end] for start, end in pairwise(edges) if end > start)


cuts = st.lists(st.integers(0, 5000), max_size=12)
bodies = st.lists(st.binary(min_size=1, max_size=80), max_size=10)


def chunked(parts: list[bytes], extension: bytes = b"") -> bytes:
    return CHUNKED + b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts) + b"0\r\n\r\n"


@given(bodies, cuts, st.sampled_from([b"", b";a=b", b';q="x"']))
def test_a_chunked_body_is_the_same_however_it_is_cut(parts: list[bytes], cuts: list[int], extension: bytes) -> None:
    sink = heard(chunked(parts, extension), cuts)

    assert [request.body for request in sink.requests] == [b"".join(parts)]
    assert sink.refusals == []


@given(st.lists(bodies, max_size=5), cuts)
def test_pipelined_requests_are_the_same_however_they_are_cut(them: list[list[bytes]], cuts: list[int]) -> None:
    wire = b"".join(chunked(parts) + post(b"".join(parts), b"X: %d" % n) for n, parts in enumerate(them))
    whole, cut = heard(wire, []), heard(wire, cuts)

    assert cut.requests == whole.requests
    assert [request.body for request in cut.requests] == [b"".join(parts) for parts in them for _ in "12"]


@given(st.data())
def test_a_mutated_request_is_heard_alike_however_it_is_cut(data: st.DataObject) -> None:
    wire = data.draw(mutated())
    whole, cut = heard(wire, []), heard(wire, data.draw(cuts))

    assert cut.requests == whole.requests
    assert cut.refusals == whole.refusals
    assert len(cut.refusals) <= 1


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Valid and invalid requests, joined, with bytes changed, doubled, dropped or put in."""
    known = [wire for _, wire, _ in REFUSED if len(wire) < 300]
    valid = [get(b"/a?b=%20"), post(b"1,2,3"), chunked([b"abc", b"de"], b";x"), post(b"", b"Expect: 100-continue")]
    wire = b"".join(draw(st.lists(st.sampled_from(valid * 8 + known), min_size=1, max_size=4)))
    for _ in range(draw(st.integers(0, 4))):
        at, length = draw(st.integers(0, len(wire))), draw(st.integers(0, 3))
        put = draw(
            st.one_of(st.binary(max_size=3), st.sampled_from([b"\r\n", b"\n", b"\r", b" ", b"\x00", b":", wire]))
        )
        wire = (wire[:at] + put + wire[at + length :])[:4000]
    return wire


@settings(deadline=None, max_examples=150)
@given(st.one_of(mutated(), st.binary(max_size=300)), cuts)
def test_whatever_comes_over_the_network_the_server_answers_afterwards(wire: bytes, cuts: list[int]) -> None:
    troubles: list[Any] = []

    async def main() -> bytes:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: troubles.append(context))
        async with serving(limits=LIMITS) as server:
            await say(server.port, *pieces(wire, cuts), quiet=0.005)
            return await say(server.port, post(b"well", b"Connection: close"))

    assert replies(run_on_uvloop(main())) == [(200, b"well")]
    assert troubles == []
