"""One connection of the client: sends a request, reads its reply, and knows whether it may be used again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import cast

import httptools

from seaproof.errors import HttpError
from seaproof.http import encode
from seaproof.http.body import BodyStream
from seaproof.http.message import Headers

_HEAD_BYTES = 64 * 1024
_STREAM_BYTES = 256 * 1024
_EARLY = 0.002
"""Seconds that a timer may fire before its time: the clock of a loop is coarse."""
_REMEMBERED = 512
_LONGEST_HEAD = 1024

Notify = Callable[["BaseException | None"], None]

_heads: dict[bytes, tuple[int, Headers, int, bool]] = {}
"""Heads of replies that came whole in one piece, up to the empty line: status, headers, bytes of the body, keep-alive.

A container says the same over and over, so that most replies need no parser: the bytes decide, all of them.
"""


class Wire(asyncio.Protocol):
    """A connection that carries one request at a time. Everything that goes wrong ends `done` with an HttpError."""

    _transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, where: str, forget: Callable[[Wire], None]) -> None:
        """`forget` is called when the connection is gone."""
        self._loop = loop
        self._where = where
        self._forget = forget
        self._parser = httptools.HttpResponseParser(self)
        self._writable: asyncio.Future[None] | None = None
        self._sender: asyncio.Task[None] | None = None
        self.lost = False
        self.reused = False
        """Whether it has carried a request before the present one."""
        self.idle_since = 0.0
        self.done: asyncio.Future[None] | None = None
        self._notify: Notify | None = None
        self._due: Notify | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = self._deadline = self._patience = 0.0
        self._reset(False, None, None)

    def _reset(self, head_only: bool, max_body: int | None, stream_over: int | None) -> None:
        self.status = 0
        self.headers: Headers = []
        self.parts: list[bytes] = []
        self.length: int | None = None
        """Bytes of the body, where the reply has said so."""
        self.stream: BodyStream | None = None
        self.answered = False
        """Whether a byte of the reply has come."""
        self.answered_at = 0.0
        self.complete = self._keep_alive = False
        self.reusable = False
        self._head_only = head_only
        self._stream_over = stream_over
        self._max_body = max_body
        self._size = self._head_fed = 0
        self._head_done = self._framed = self._until_close = self._surplus = False

    # Sending.

    def send(
        self,
        head: bytes,
        body: bytes | AsyncIterator[bytes],
        length: int | None,
        *,
        head_only: bool,
        max_body: int | None,
        stream_over: int | None,
    ) -> asyncio.Future[None]:
        """Send one request; the future is done when the reply is there.

        Of a reply with more than `stream_over` bytes it is done when that is known, and `stream` has the body as it
        comes: 0 for a stream at once, whatever the reply is; with any other number only 2xx are. An iterator goes out
        chunked, or plain where `length` says how long it is. `expire_at` limits the time.
        """
        self._reset(head_only, max_body, stream_over)
        self.done = done = self._loop.create_future()
        if self.lost:
            self.fail(HttpError("closed", "the connection is closed", where=self._where))
        elif isinstance(body, bytes):
            if len(body) < 65536:
                self._transport.write(head + body)
            else:
                self._transport.write(head)
                self._transport.write(body)
        else:
            self._transport.write(head)
            self._sender = self._loop.create_task(self._send_parts(body, length))
            self._sender.add_done_callback(self._on_sent)
        return done

    def post(
        self, message: bytes, head_only: bool, max_body: int | None, stream_over: int | None, notify: Notify
    ) -> None:
        """As `send`, head and body in one, and without a future.

        `notify` is called once, from within the event loop: with None where the reply is there, else with the error.
        """
        self._reset(head_only, max_body, stream_over)
        self._notify = notify
        if self.lost:
            self.fail(HttpError("closed", "the connection is closed", where=self._where))
        else:
            self._transport.write(message)

    def expire_at(self, deadline: float, patience: float) -> None:
        """The reply is to be there by then (monotonic seconds), which was `patience` seconds away.

        A timer of the request before is left in place: when it fires, it sees that there is time left, and begins
        anew. So that a busy connection costs one timer now and then, not one per request.
        """
        self._deadline, self._patience = deadline, patience
        if self._timer is None or self._timer_at > deadline:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._deadline
        self._timer = self._loop.call_later(max(0.0, self._deadline - monotonic()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._notify is None and (self.done is None or self.done.done()):
            return
        if monotonic() < self._deadline - _EARLY:
            self._set_timer()
        else:
            self.fail(HttpError("timeout", f"no reply within {self._patience:.3g} s", where=self._where))

    async def _send_parts(self, body: AsyncIterator[bytes], length: int | None) -> None:
        sent = 0
        try:
            async for part in body:
                if not part:
                    continue
                sent += len(part)
                self._transport.write(part if length is not None else encode.chunk(part))
                if self._writable is not None:
                    await self._writable
        finally:
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()
        if length is None:
            self._transport.write(encode.LAST_CHUNK)
        elif sent != length:
            raise ValueError(f"the body has {sent} bytes, its Content-Length says {length}")

    def _on_sent(self, sender: asyncio.Task[None]) -> None:
        self._sender = None
        if not sender.cancelled() and (error := sender.exception()) is not None:
            self.fail(error)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if (self.done is None and self._notify is None and self.stream is None) or self.complete:
            # Nothing was asked: the next request could take this for its reply.
            self._surplus = True
            self._transport.abort()
            return
        first = not self.answered
        if first:
            self.answered = True
            self.answered_at = monotonic()
            if self._take_known(data):
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete and not self.lost:
                self.fail(HttpError("malformed", f"the reply is not HTTP/1.1: {error}", where=self._where))
            self._tell()
            return
        if first:
            self._remember(data)
        if self._due is not None:
            self._tell()
        elif not self._head_done:
            self._head_fed += len(data)
            if self._head_fed > _HEAD_BYTES:
                self.fail(
                    HttpError("malformed", f"the reply's headers are over {_HEAD_BYTES} bytes", where=self._where)
                )

    def _take_known(self, data: bytes) -> bool:
        """Whether this is all of a reply whose head is known; it is then complete, and the parser saw none of it."""
        end = data.find(b"\r\n\r\n", 0, _LONGEST_HEAD) + 4
        known = _heads.get(data[:end])
        if known is None or self._head_only:
            return False
        status, headers, size, keep_alive = known
        if len(data) != end + size or (self._max_body is not None and size > self._max_body):
            return False
        if self._stream_over is not None and (size > self._stream_over or not self._stream_over):
            return False
        self.status, self.headers = status, headers.copy()
        if size:
            self.parts.append(data[end:])
        self._head_done = True
        self._complete(keep_alive)
        self._tell()
        return True

    def _remember(self, data: bytes) -> None:
        """Keep the head of a reply that was head and body, nothing else, in this one piece."""
        end, size = data.find(b"\r\n\r\n", 0, _LONGEST_HEAD) + 4, self._size
        is_plain = self.complete and not (self.stream is not None or self._head_only or self._surplus)
        if not is_plain or end < 4 or len(data) != end + size:
            return
        if len(_heads) >= _REMEMBERED:
            _heads.clear()
        _heads[data[:end]] = (self.status, self.headers.copy(), size, self._keep_alive)

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._forget(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writable is not None:
            self._writable.cancel()
        if self._until_close and self._head_done and exc is None:
            self._complete(False)
            self._tell()
        elif not self.complete:
            error = HttpError("closed", "the connection was closed before the reply was complete", where=self._where)
            error.__cause__ = exc
            self.fail(error)
        self._stop_sender()

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done:
            return
        name = name.lower()
        value = value.rstrip(b" \t")
        self.headers.append((name, value))
        if name == b"content-length":
            self._framed = True
            self.length = int(value) if value.isdigit() else None
        elif name == b"transfer-encoding" and value.lower().endswith(b"chunked"):
            self._framed = True

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101:
                self.fail(HttpError("malformed", "the peer switched to a protocol nobody asked for", where=self._where))
            return
        self.status = status
        self._head_done = True
        self._until_close = not self._framed and not self._head_only and not encode.has_no_body(status)
        if self._stream_over == 0:
            self.stream = BodyStream(_STREAM_BYTES, self._on_stream_flow)
        if self._head_only:
            # The parser cannot know that no body follows: it has served its time.
            keep = self._parser.get_http_version() == "1.1" and not any(
                name == b"connection" and b"close" in value.lower() for name, value in self.headers
            )
            self._parser = httptools.HttpResponseParser(self)
            self._complete(keep)
        elif self._stream_over is not None and self.length is not None and not self._is_over(self.length):
            self._stream_if_over(self.length)
        elif self.stream is not None:
            self._resolve()

    def on_body(self, part: bytes) -> None:
        if self.complete:
            self._surplus = True
            return
        self._size += len(part)
        if self._is_over(self._size):
            return
        if self.stream is None and self._stream_over is not None:
            self._stream_if_over(self._size)
        if self.stream is not None:
            self.stream.feed(part)
        else:
            self.parts.append(part)

    def _is_over(self, size: int) -> bool:
        """Whether a body of this size is more than was asked for; the exchange has then failed."""
        if self._max_body is None or size <= self._max_body:
            return False
        self.fail(HttpError("oversize", f"the reply is over {self._max_body} bytes", where=self._where))
        return True

    def _stream_if_over(self, size: int) -> None:
        """A body of this size is passed on as it comes, from what has come on, where it is large and no error's."""
        if self.stream is None:
            if not self._stream_over or size <= self._stream_over or not 200 <= self.status < 300:
                return
            self.stream = BodyStream(_STREAM_BYTES, self._on_stream_flow)
            for part in self.parts:
                self.stream.feed(part)
            self.parts = []
            self._due, self._notify = self._notify, None
        self._resolve()

    def on_message_complete(self) -> None:
        if self._head_done and not self.complete:
            self._complete(self._parser.should_keep_alive())
        elif not self._head_done:
            self.headers = []
            self._framed = False

    def on_message_begin(self) -> None:
        if self.complete:
            self._surplus = True

    # How an exchange ends.

    def _complete(self, keep_alive: bool) -> None:
        self.complete = True
        self._keep_alive = keep_alive
        unsent = self._sender is not None or (not self.lost and self._transport.get_write_buffer_size() > 0)
        self._stop_sender()
        self.reusable = keep_alive and not unsent
        if self.stream is not None:
            self.stream.end()
        if self._notify is not None:
            self._due, self._notify = self._notify, None
        self._resolve()

    def _resolve(self) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_result(None)

    def _tell(self) -> None:
        """Called when the parser has returned, so that all that came with the reply was seen."""
        due, self._due = self._due, None
        if due is not None:
            due(None)

    def drop(self) -> None:
        """Nobody waits for what was posted any more."""
        self._notify = self._due = None
        self.abort()

    def fail(self, error: BaseException) -> None:
        """End the exchange with this error and close the connection."""
        if self.complete:
            pass
        elif self.stream is not None:
            if isinstance(error, Exception):
                self.stream.end(error)
            if self.done is not None and not self.done.done():
                self.done.set_exception(error)
        elif self.done is not None:
            if not self.done.done():
                self.done.set_exception(error)
        elif self._notify is not None:
            notify, self._notify = self._notify, None
            # Not from within the parser.
            self._loop.call_soon(notify, error)
        self.abort()

    def release(self, now: float) -> bool:
        """The reply was taken: whether this connection may wait for another request; closed if not."""
        usable = self.reusable and not self.lost and not self._surplus and not self._transport.is_closing()
        self.reusable = False
        self.done = None
        self.parts = []
        self.stream = None
        if not usable:
            self.abort()
            return False
        self.reused = True
        self.idle_since = now
        return True

    def abort(self) -> None:
        """Close at once."""
        self._stop_sender()
        if not self.lost:
            self._transport.abort()

    def _stop_sender(self) -> None:
        if self._sender is not None:
            self._sender.cancel()

    def _on_stream_flow(self, stop: bool) -> None:
        if self.lost or self._transport.is_closing():
            return
        if stop:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
