"""Bytes in, requests out: the parsing half of the server, which touches no socket.

llhttp (through httptools) refuses most of what smuggling needs; this module adds what it leaves to its caller: exactly
one Host, one Transfer-Encoding that is `chunked`, limits on sizes, targets that are a path.
"""

from __future__ import annotations

import re
from typing import Protocol
from urllib.parse import unquote

import httptools

from seaproof.errors import RequestError
from seaproof.http.body import BodyStream
from seaproof.http.limits import ServerLimits
from seaproof.http.message import Headers, Request

IDLE, HEAD, BODY, ENDED = range(4)
"""Between requests; within request line and headers; within a body; refused, nothing is parsed any more."""

_HOST = re.compile(rb"[0-9A-Za-z.\-_~!$&'()*+;=:%\[\]]*")
_REPEAT = "Send one request as HTTP/1.1 defines it."
_METHODS = {name.encode(): name for name in ("GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS")}
_REMEMBERED = 256
_BLANKS = (b" ", b"\t")
_WATCHED = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))
_LONGEST_HEAD = 1024
_targets: dict[bytes, tuple[str, str]] = {}
_heads: dict[bytes, tuple[str, str, str, Headers, int, bool, bool]] = {}
"""Heads of requests that came whole in one piece, up to the empty line: method, path, query, headers, bytes of the
body, keep-alive, HTTP/1.0. A client says the same over and over, so that most requests need no parser."""
_hosts: set[bytes] = set()


class Sink(Protocol):
    """Where what was parsed goes: the connection."""

    now: float

    def deliver(self, request: Request, keep_alive: bool, old: bool) -> None:
        """One request, whole, or with its stream; `old` is HTTP/1.0."""

    def refuse(self, status: int, what: str, next_step: str) -> None:
        """The input cannot be followed any further."""

    def expects(self) -> None:
        """A client waits for leave to send its body, which would be accepted."""

    def wants_stream(self, request: Request) -> bool:
        """Whether the body of this request, of which the head is there, goes on as a stream."""

    def open_stream(self, request: Request) -> BodyStream | None:
        """A stream for the body of this request, or None to hold it whole."""


class _Stop(Exception):
    """Leaves the parser from within one of its callbacks."""


class RequestReader:
    """One connection's parser. `feed` never raises; what it found goes to the sink."""

    __slots__ = (
        "_chunked",
        "_expects",
        "_fed",
        "_head_fed",
        "_headers",
        "_hosts",
        "_keep_alive",
        "_length",
        "_limits",
        "_may_stream",
        "_most",
        "_old",
        "_overhead",
        "_parser",
        "_parts",
        "_replayed",
        "_sink",
        "_size",
        "_size_whole",
        "_slack",
        "_stream",
        "_upgrade",
        "_url",
        "_whole",
        "begun",
        "phase",
        "received",
    )

    def __init__(self, limits: ServerLimits, sink: Sink, may_stream: bool = False) -> None:
        self._limits = limits
        self._may_stream = may_stream
        self._sink = sink
        self._parser = httptools.HttpRequestParser(self)
        self.phase = IDLE
        self.begun = 0.0
        """The sink's `now` when the request being read began."""
        self.received = 0
        """Body bytes over the connection's life."""
        self._head_fed = self._slack = self._fed = self._overhead = 0
        self._upgrade = self._replayed = False
        self._whole = b""
        self._size_whole = 0
        self._stream: BodyStream | None = None
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: Headers = []
        self._parts: list[bytes] = []
        self._size = self._hosts = 0
        self._most = self._limits.body_bytes
        self._length: bytes | None = None
        self._chunked = self._expects = False

    def feed(self, data: bytes | memoryview) -> None:
        """Parse the next bytes."""
        if self.phase == IDLE and isinstance(data, bytes):
            end = data.find(b"\r\n\r\n", 0, _LONGEST_HEAD) + 4
            known = _heads.get(data[:end])
            if known is not None and len(data) == end + known[4] <= end + self._limits.body_bytes:
                request = Request(*known[:3], known[3].copy(), data[end:])
                if not self._may_stream or not self._sink.wants_stream(request):
                    self._deliver_known(request, end, known[5], known[6])
                    return
            self._whole = data[:end] if end > 3 else b""
            self._size_whole = len(data) - end
        rest = self._feed(data)
        self._whole = b""
        while rest:
            rest = self._feed(rest)

    def _deliver_known(self, request: Request, head_bytes: int, keep_alive: bool, old: bool) -> None:
        """A request whose head was read before, byte for byte; the parser sees none of it."""
        if head_bytes > self._limits.header_bytes:
            self._refuse_head()
            return
        self.begun = self._sink.now
        self.received += len(request.body)
        self._sink.deliver(request, keep_alive, old)

    def _remember(self, request: Request) -> None:
        """Keep the head of a request that was head and body, nothing else, in one piece."""
        if len(_heads) >= _REMEMBERED:
            _heads.clear()
        size = len(request.body)
        known = request.method, request.path, request.query, request.headers.copy(), size, self._keep_alive, self._old
        _heads[self._whole] = known

    def _feed(self, data: bytes | memoryview) -> bytes | None:
        """Parse these bytes; what must be parsed anew comes back."""
        if self.phase == ENDED:
            return None
        rest = None
        began_in_head = self.phase == HEAD
        received = self.received
        self._fed = len(data)
        try:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                rest = bytes(data)[upgrade.args[0] :]
                self._continue_without_upgrade()
        except httptools.HttpParserError as error:
            if self.phase != ENDED:
                self._refuse(400, f"this is not HTTP/1.1: {error or 'unreadable'}", _REPEAT)
        if self.phase != IDLE:
            self._check_growth(len(data), began_in_head, received)
        return rest

    def _check_growth(self, size: int, began_in_head: bool, received: int) -> None:
        """Refuse what is unfinished and too long already: `size` bytes came, before them `received` of bodies."""
        if self.phase == HEAD:
            # The piece in which a head begins may hold other requests too: it counts when the head is complete.
            if not began_in_head:
                self._head_fed, self._slack = 0, size
            self._head_fed += size
            if self._head_fed - self._slack > self._limits.header_bytes:
                self._refuse_head()
        elif self.phase == BODY:
            # Chunk extensions and trailers are no body, and could otherwise go on for ever.
            self._overhead = self._overhead + size if received == self.received else 0
            if self._overhead > self._limits.header_bytes:
                self._refuse(431, "a chunk's extension or the trailers are too long", "Send the data without them.")

    def refuse(self, status: int, what: str, next_step: str) -> None:
        """Give up on the request being read, for a reason found outside."""
        self._refuse(status, what, next_step)

    def _refuse(self, status: int, what: str, next_step: str) -> None:
        self.phase = ENDED
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.end(RequestError(status, what, next_step=next_step))
        else:
            self._sink.refuse(status, what, next_step)

    def _refuse_head(self) -> None:
        limit = self._limits.header_bytes
        self._refuse(431, f"request line and headers are over {limit} bytes", "Send fewer or shorter headers.")

    def _stop(self, status: int, what: str, next_step: str = _REPEAT) -> None:
        self._refuse(status, what, next_step)
        raise _Stop

    # What httptools calls, in this order.

    def on_message_begin(self) -> None:
        if self._replayed:
            return
        self.phase = HEAD
        self._head_fed = 0
        self.begun = self._sink.now

    def on_url(self, url: bytes) -> None:
        if not self._replayed:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase != HEAD:
            return
        name = name.lower()
        if value[-1:] in _BLANKS:
            value = value.rstrip(b" \t")
        if name in _WATCHED:
            self._on_watched(name, value)
        self._headers.append((name, value))

    def _on_watched(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self._hosts += 1
            if value not in _hosts and not _is_host(value):
                self._stop(400, "the Host header is no host")
        elif name == b"content-length":
            if self._length is not None or not value.isdigit():
                self._stop(400, "Content-Length is given twice, or is no number")
            self._length = value
        elif name == b"transfer-encoding":
            self._on_transfer_encoding(value)
        else:
            if value.lower() != b"100-continue":
                self._stop(417, "this Expect cannot be met", "Send no Expect header, or `Expect: 100-continue`.")
            self._expects = True

    def _on_transfer_encoding(self, value: bytes) -> None:
        if self._chunked:
            self._stop(400, "Transfer-Encoding is given twice")
        if value.lower() != b"chunked":
            self._stop(501, "only the transfer coding `chunked` is understood", "Send the body plain or chunked.")
        self._chunked = True

    def on_headers_complete(self) -> None:
        if self._replayed:
            return
        if self._head_fed + self._fed > self._limits.header_bytes:
            self._check_head_size()
        parser = self._parser
        version = parser.get_http_version()
        if version != "1.1":
            self._check_old_version(version)
        elif self._hosts != 1:
            self._stop(400, "HTTP/1.1 needs exactly one Host header")
        self._old = version != "1.1"
        self._keep_alive = parser.should_keep_alive()
        if parser.should_upgrade():
            self._upgrade = True
            if parser.get_method() == b"CONNECT":
                self._stop(405, "CONNECT is not served: this is no proxy", "Send GET or POST.")
        self._overhead = 0
        self.phase = BODY
        if self._length is not None or self._chunked:
            self._on_body_announced()

    def _check_head_size(self) -> None:
        size = len(self._url) + 16 + sum(len(name) + len(value) + 4 for name, value in self._headers)
        if size > self._limits.header_bytes:
            self._refuse_head()
            raise _Stop

    def _check_old_version(self, version: str) -> None:
        if version != "1.0":
            self._stop(505, f"HTTP/{version} is not served", "Use HTTP/1.1.")
        if self._hosts > 1:
            self._stop(400, "there are several Host headers")
        if self._chunked:
            self._stop(400, "HTTP/1.0 knows no Transfer-Encoding", "Use HTTP/1.1 or send Content-Length.")

    def _on_body_announced(self) -> None:
        if self._length is not None:
            if self._chunked:
                self._stop(400, "Content-Length and Transfer-Encoding are given both")
            if len(self._length) > 18 or int(self._length) > max(self._limits.body_bytes, self._limits.streamed_bytes):
                self._refuse_body()
        if self._may_stream:
            request = self._request(b"")
            self._stream = request.stream = self._sink.open_stream(request)
            if self._stream is not None:
                self._most = self._limits.streamed_bytes or self._most
        if self._length is not None and int(self._length) > self._most:
            self._refuse_body()
        if self._stream is not None:
            self._sink.deliver(request, self._keep_alive, self._old)
            return
        if self._expects and not self._old:
            self._sink.expects()

    def _refuse_body(self) -> None:
        self._stop(413, f"the body is over {self._most} bytes", "Send less in one request.")

    def on_body(self, part: bytes) -> None:
        if self.phase != BODY:
            return
        self.received += len(part)
        self._size += len(part)
        if self._size > self._most:
            self._refuse_body()
        if self._stream is not None:
            self._stream.feed(part)
        else:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        if self.phase != BODY or self._upgrade:
            return
        self.phase = IDLE
        self._replayed = False
        stream = self._stream
        if stream is not None:
            self._stream = None
            self._reset()
            stream.end()
            return
        parts = self._parts
        request = self._request(parts[0] if len(parts) == 1 else b"".join(parts))
        plain = not (self._chunked or self._expects)
        self._reset()
        if self._whole:
            if plain and len(request.body) == self._size_whole:
                self._remember(request)
            self._whole = b""
        self._sink.deliver(request, self._keep_alive, self._old)

    def _request(self, body: bytes) -> Request:
        name = self._parser.get_method()
        target = _targets.get(self._url)
        if target is None:
            target = split_target(self._url)
            if target is None:
                self._stop(400, "the request target is no path", "Send a target like /invocations.")
                raise AssertionError
        return Request(_METHODS.get(name) or name.decode(), target[0], target[1], self._headers, body)

    def _continue_without_upgrade(self) -> None:
        """Serve a request that asked for another protocol as if it had not, which HTTP allows.

        The parser takes everything after such a head for the other protocol; a fresh one is told the framing.
        """
        if self.phase == ENDED:
            return
        self._upgrade = False
        framing = b"Transfer-Encoding: chunked\r\n" if self._chunked else b""
        if self._length is not None:
            framing = b"Content-Length: %b\r\n" % self._length
        method = self._parser.get_method()
        self._parser = httptools.HttpRequestParser(self)
        self._replayed = True
        self._parser.feed_data(b"%b / HTTP/1.1\r\nHost: replayed\r\n%b\r\n" % (method, framing))
        self._replayed = False


def _is_host(value: bytes) -> bool:
    good = _HOST.fullmatch(value) is not None
    if good and len(value) <= 256:
        if len(_hosts) >= _REMEMBERED:
            _hosts.clear()
        _hosts.add(value)
    return good


def split_target(url: bytes) -> tuple[str, str] | None:
    """Path (decoded) and query of a request target, or None where it is neither a path, a URL, nor `*`."""
    if not url.isascii() or b"#" in url:
        return None
    target = url.decode()
    if not target.startswith("/"):
        scheme, found, rest = target.partition("://")
        if found and scheme.lower() in ("http", "https"):
            _, slash, after = rest.partition("/")
            target = slash + after if slash else "/"
        elif target != "*":
            return None
    path, _, query = target.partition("?")
    split = (unquote(path) if "%" in path else path, query)
    if len(url) <= 256:
        if len(_targets) >= _REMEMBERED:
            _targets.clear()
        _targets[url] = split
    return split
