"""The HTTP client: kept-alive connections to each peer, used for pings, invocations and by the gateway."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from time import monotonic
from typing import cast

from seaproof.errors import HttpError
from seaproof.http import encode
from seaproof.http.reply import Reply, StreamedReply
from seaproof.http.wire import Wire

__all__ = ["Client", "Reply", "StreamedReply"]

_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNIX = ("/", "\0")
_TARGET = re.compile(r"[!-~]+")
_WITH_LENGTH = frozenset(("POST", "PUT", "PATCH"))
_LARGE = 64 * 1024
_REMEMBERED = 512

Body = bytes | AsyncIterator[bytes]
Peer = tuple[str, int]
Answered = Callable[["Reply | StreamedReply | None", "BaseException | None"], None]

_heads: dict[tuple[str, int, str, str, tuple[tuple[bytes, bytes], ...]], bytes] = {}
"""Heads of requests whose body is bytes, but for what comes after `Content-Length: `."""


class Client:
    """Sends requests from one event loop. `pool` is how many idle connections are kept per peer."""

    def __init__(self, connect_timeout: float = 5.0, pool: int = 64, idle_seconds: float = 60.0) -> None:
        self._connect_timeout = connect_timeout
        self._pool = pool
        self._idle_seconds = idle_seconds
        self._idle: dict[Peer, list[Wire]] = {}
        self._busy: set[Wire] = set()
        self._closed = False

    async def request(
        self,
        host: str,
        port: int,
        method: str,
        target: str,
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: Body = b"",
        *,
        timeout: float,
        max_body: int | None = None,
        resend: bool = True,
    ) -> Reply:
        """Send one request and return its reply, body whole; a `host` that begins with `/` or NUL is a Unix socket.

        `timeout` is for all of it, in seconds. A request that met a kept-alive connection which its peer closed before
        a byte of the reply came is sent once more, on a new connection, if its body is bytes and `resend` is left True.
        HttpError where there is no reply, or one of over `max_body` bytes.
        """
        reply = await self.ask(
            host, port, method, target, headers, body, timeout=timeout, max_body=max_body, resend=resend
        )
        return cast(Reply, reply)

    async def ask(
        self,
        host: str,
        port: int,
        method: str,
        target: str,
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: Body = b"",
        *,
        timeout: float,
        max_body: int | None = None,
        stream_over: int | None = None,
        resend: bool = True,
    ) -> Reply | StreamedReply:
        """As `request`, but the body of a 2xx reply with more than `stream_over` bytes is read as it comes.

        The caller reads a StreamedReply to its end or closes it; `timeout` then holds for each of its parts anew.
        """
        started = monotonic()
        peer = (host, port)
        head, length = _head(host, port, method, target, headers, body)
        wire, connected = await self._exchange(
            peer, head, body, length, started, timeout, max_body, resend, method == "HEAD", stream_over
        )
        return self._reply(peer, wire, timeout, started, connected)

    def _reply(
        self, peer: Peer, wire: Wire, timeout: float, started: float, connected: float = 0.0
    ) -> Reply | StreamedReply:
        """What came on this wire, which is let go once all of it is read."""
        if wire.stream is not None:
            return StreamedReply(
                wire,
                _where(peer),
                timeout,
                lambda wire: self._release(peer, wire, monotonic()),
                connected,
                wire.answered_at - started,
            )
        now = monotonic()
        parts = wire.parts
        reply = Reply(
            wire.status,
            wire.headers,
            parts[0] if len(parts) == 1 else b"".join(parts),
            connected,
            wire.answered_at - started,
            now - started,
        )
        self._release(peer, wire, now)
        return reply

    def begin(
        self,
        host: str,
        port: int,
        method: str,
        target: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: Body,
        *,
        timeout: float,
        max_body: int | None,
        answered: Answered,
        stream_over: int | None = None,
    ) -> Callable[[], object]:
        """As `ask` with `resend=False`, for callers without a task: `answered` gets the reply or the error, once.

        It is called from the event loop, after this has returned, and must not raise. What is returned gives up:
        `answered` is then not called, or, with a CancelledError, when the connection that was being made is closed.
        HttpError is raised only for what cannot be sent.
        """
        peer, started = (host, port), monotonic()
        head, _ = _head(host, port, method, target, headers, body)
        is_small = isinstance(body, bytes) and len(body) < _LARGE
        wire = self._take(peer, started) if is_small and not self._closed else None
        if wire is None:
            task = asyncio.ensure_future(
                self.ask(
                    host,
                    port,
                    method,
                    target,
                    headers,
                    body,
                    timeout=timeout,
                    max_body=max_body,
                    stream_over=stream_over,
                    resend=False,
                )
            )
            task.add_done_callback(partial(_on_asked, answered))
            return task.cancel
        self._busy.add(wire)

        def notify(error: BaseException | None) -> None:
            if error is not None:
                answered(None, error)
            else:
                answered(self._reply(peer, wire, timeout, started), None)

        wire.post(head + cast(bytes, body), method == "HEAD", max_body, stream_over, notify)
        wire.expire_at(started + timeout, timeout)
        return wire.drop

    async def stream(
        self,
        host: str,
        port: int,
        method: str,
        target: str,
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: Body = b"",
        *,
        timeout: float,
        max_body: int | None = None,
        resend: bool = True,
    ) -> StreamedReply:
        """As `request`, but return when status and headers are there; `timeout` then holds for each part anew."""
        reply = await self.ask(
            host, port, method, target, headers, body, timeout=timeout, max_body=max_body, stream_over=0, resend=resend
        )
        return cast(StreamedReply, reply)

    async def close(self) -> None:
        """Close every connection; requests under way fail with HttpError `closed`."""
        self._closed = True
        wires = [*self._busy, *(wire for idle in self._idle.values() for wire in idle)]
        self._idle.clear()
        for wire in wires:
            wire.abort()
        while any(not wire.lost for wire in wires):
            await asyncio.sleep(0)

    async def _exchange(
        self,
        peer: Peer,
        head: bytes,
        body: Body,
        length: int | None,
        started: float,
        timeout: float,
        max_body: int | None,
        resend: bool,
        head_only: bool,
        stream_over: int | None,
    ) -> tuple[Wire, float]:
        """Send on a connection of the pool or a new one; the wire that holds the reply, and seconds to connect."""
        wire = self._take(peer, started)
        connected = 0.0
        while True:
            if wire is None:
                begun = monotonic()
                wire = await self._connect(peer, started + timeout - begun)
                connected = monotonic() - begun
            self._busy.add(wire)
            done = wire.send(head, body, length, head_only=head_only, max_body=max_body, stream_over=stream_over)
            wire.expire_at(started + timeout, timeout)
            try:
                await done
                return wire, connected
            except BaseException as error:
                wire.abort()
                self._busy.discard(wire)
                if not (resend and _may_resend(error, wire, body)):
                    raise
                wire = None

    def _take(self, peer: Peer, now: float) -> Wire | None:
        if self._closed:
            raise HttpError("closed", "this client was closed", where=_where(peer))
        idle = self._idle.get(peer)
        while idle:
            wire = idle.pop()
            if not wire.lost and now - wire.idle_since < self._idle_seconds:
                return wire
            wire.abort()
        return None

    async def _connect(self, peer: Peer, left: float) -> Wire:
        loop = asyncio.get_running_loop()

        def make() -> Wire:
            return Wire(loop, _where(peer), self._busy.discard)

        seconds = max(0.0, min(self._connect_timeout, left))
        connecting = asyncio.ensure_future(_open(loop, make, peer))
        try:
            # Not `wait_for`: before Python 3.12 it forgets a cancellation that comes together with the connection.
            await asyncio.wait([connecting], timeout=seconds)
            if not connecting.done():
                raise HttpError("timeout", f"no connection within {seconds:.3g} s", where=_where(peer))
            _, wire = connecting.result()
        except (asyncio.CancelledError, HttpError):
            connecting.cancel()
            connecting.add_done_callback(_not_wanted)
            raise
        except OSError as error:
            what = f"the connection was refused: {error.strerror or error}"
            raise HttpError("refused", what, where=_where(peer)) from error
        if self._closed:
            wire.abort()
            raise HttpError("closed", "this client was closed", where=_where(peer))
        return wire

    def _release(self, peer: Peer, wire: Wire, now: float) -> None:
        self._busy.discard(wire)
        if not wire.release(now):
            return
        idle = self._idle.setdefault(peer, [])
        if self._closed or len(idle) >= self._pool:
            wire.abort()
        else:
            idle.append(wire)


def _head(
    host: str, port: int, method: str, target: str, headers: Sequence[tuple[bytes, bytes]], body: Body
) -> tuple[bytes, int | None]:
    """Request line and headers as bytes, and the length of a body that is an iterator (None: chunked)."""
    if not isinstance(body, bytes) or not (body or method in _WITH_LENGTH):
        return _new_head(host, port, method, target, headers, body)
    key = (host, port, method, target, tuple(headers))
    begun = _heads.get(key)
    if begun is not None:
        return b"%b%d\r\n\r\n" % (begun, len(body)), None
    head, length = _new_head(host, port, method, target, headers, body)
    begun, _, end = head.rpartition(b"Content-Length: ")
    if end == b"%d\r\n\r\n" % len(body) and len(head) <= 1024:
        if len(_heads) >= _REMEMBERED:
            _heads.clear()
        _heads[key] = begun + b"Content-Length: "
    return head, length


def _new_head(
    host: str, port: int, method: str, target: str, headers: Sequence[tuple[bytes, bytes]], body: Body
) -> tuple[bytes, int | None]:
    if not _METHOD.fullmatch(method) or not _TARGET.fullmatch(target):
        raise HttpError("malformed", f"{method!r} {target!r} cannot be sent", where=_where((host, port)))
    try:
        block = encode.block(list(headers))
    except ValueError as error:
        raise HttpError("malformed", str(error), where=_where((host, port))) from error
    lines = [f"{method} {target} HTTP/1.1\r\n".encode()]
    if not block.has_host:
        name = "localhost" if host.startswith(_UNIX) else f"[{host}]" if ":" in host else host
        lines.append((f"Host: {name}\r\n" if not port else f"Host: {name}:{port}\r\n").encode())
    lines.append(block.wire)
    if not isinstance(body, bytes):
        framing = b"Content-Length: %d\r\n" % block.given_length if block.given_length is not None else None
        lines.append(framing or b"Transfer-Encoding: chunked\r\n")
    elif body or method in ("POST", "PUT", "PATCH"):
        lines.append(b"Content-Length: %d\r\n" % len(body))
    lines.append(b"Connection: close\r\n\r\n" if block.wants_close else b"\r\n")
    return b"".join(lines), block.given_length


def _may_resend(error: BaseException, wire: Wire, body: Body) -> bool:
    """Whether the peer had closed this connection while it was idle, so that it never saw the request."""
    closed = isinstance(error, HttpError) and error.kind == "closed"
    return closed and wire.reused and not wire.answered and isinstance(body, bytes)


def _not_wanted(done: asyncio.Future[tuple[asyncio.BaseTransport, Wire]]) -> None:
    """Close a connection that came when nobody waited for it any more."""
    if not done.cancelled() and done.exception() is None:
        done.result()[1].abort()


def _on_asked(answered: Answered, done: asyncio.Future[Reply | StreamedReply]) -> None:
    if done.cancelled():
        answered(None, asyncio.CancelledError())
    elif (error := done.exception()) is not None:
        answered(None, error)
    else:
        answered(done.result(), None)


def _where(peer: Peer) -> str:
    host, port = peer
    if host.startswith("\0"):
        return f"@{host[1:]}"
    return host if host.startswith("/") else f"{host}:{port}"


async def _open(
    loop: asyncio.AbstractEventLoop, make: Callable[[], Wire], peer: Peer
) -> tuple[asyncio.BaseTransport, Wire]:
    host, port = peer
    if not host.startswith(_UNIX):
        return await loop.create_connection(make, host, port)
    if not host.startswith("\0"):
        return await loop.create_unix_connection(make, host)
    # uvloop takes no abstract name, but a socket that is connected.
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, host)
        return await loop.create_unix_connection(make, sock=sock)
    except BaseException:
        sock.close()
        raise
