"""One connection of the server: requests answered in order, with back-pressure both ways, slow clients cut off.

A handler that returns its Response at once costs no task: the reply is written from within `data_received`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from seaproof.errors import RequestError
from seaproof.http import encode
from seaproof.http.body import BodyStream
from seaproof.http.inbound import BODY, HEAD, IDLE, RequestReader
from seaproof.http.limits import ServerLimits
from seaproof.http.message import Request, Response

if TYPE_CHECKING:
    from seaproof.http.server import Server

Handler = Callable[[Request], "Response | Awaitable[Response]"]

log = logging.getLogger("seaproof.http")

# Why reading is stopped, as bits.
_FULL, _STREAM, _WRITE = 1, 2, 4
_SLICE = 32 * 1024
_FLUSH = 64 * 1024


class Connection(asyncio.Protocol):
    """Reads through a RequestReader, is its sink, runs the handler and writes what it answers."""

    __slots__ = (
        "_corked",
        "_finished",
        "_handler",
        "_held",
        "_idle_since",
        "_limits",
        "_lost",
        "_mark",
        "_out",
        "_out_size",
        "_owes_continue",
        "_pending",
        "_reader",
        "_reading_stopped",
        "_running",
        "_served",
        "_server",
        "_transport",
        "_unread",
        "_writable",
        "_write_mark",
        "now",
    )

    _transport: asyncio.Transport

    def __init__(self, server: Server, handler: Handler, limits: ServerLimits) -> None:
        self._server = server
        self._handler = handler
        self._limits = limits
        self._reader = RequestReader(limits, self)
        self._pending: deque[tuple[Request | Response, bool, bool]] = deque()
        self._running: asyncio.Future[Any] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._out: list[bytes] = []
        self._out_size = 0
        self._held: list[bytes] = []
        self._reading_stopped = 0
        self._corked = self._finished = self._lost = self._served = self._owes_continue = False
        self._unread: BodyStream | None = None
        self.now = self._idle_since = server.now
        self._mark = self._write_mark = (0, server.now)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._server.admit(self):
            self.refuse(503, "too many connections", "Try again later, or raise the limit on connections.")

    def data_received(self, data: bytes) -> None:
        if self._finished:
            return
        if self._held:
            self._held.append(data)
            return
        self._corked = True
        if len(data) <= _SLICE:
            self._reader.feed(data)
        else:
            self._feed_slices(data)
        self._corked = False
        if self._out:
            self._flush()

    def _feed_slices(self, data: bytes) -> None:
        """Feed a large read piece by piece, and keep the rest while too many requests wait."""
        view = memoryview(data)
        for start in range(0, len(data), _SLICE):
            if self._reading_stopped and not self._finished:
                self._held.append(data[start:])
                return
            self._reader.feed(view[start : start + _SLICE])

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._stop_reading(_WRITE)
        if self._writable is None:
            self._writable = self._server.loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None:
            if not self._writable.done():
                self._writable.set_result(None)
            self._writable = None
        self._work()
        self._resume_reading(_WRITE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._finished = True
        self._pending.clear()
        self._held.clear()
        if self._unread is not None:
            self._unread.end(RequestError(400, "the client closed the connection"))
        if self._running is not None:
            self._running.cancel()
        else:
            self._server.forget(self)
        if self._writable is not None and not self._writable.done():
            self._writable.cancel()

    # What the reader calls.

    def deliver(self, request: Request, keep_alive: bool, old: bool) -> None:
        if self._running is None and not self._pending and self._writable is None:
            self._begin(request, keep_alive, old)
            return
        self._pending.append((request, keep_alive, old))
        if len(self._pending) >= self._limits.pipelined:
            self._stop_reading(_FULL)

    def refuse(self, status: int, what: str, next_step: str) -> None:
        response = encode.explain(status, what, next_step)
        if self._running is None and not self._pending:
            self._answer_refusal(response)
        else:
            self._pending.append((response, False, False))

    def expects(self) -> None:
        if self._running is None and not self._pending:
            self._write(encode.CONTINUE)
        else:
            self._owes_continue = True

    def open_stream(self, request: Request) -> BodyStream | None:
        if not self._server.wants_stream(request):
            return None
        expects = request.header(b"expect") != ""
        return BodyStream(self._limits.stream_bytes, self._on_stream_flow, self._send_continue if expects else _nothing)

    def _on_stream_flow(self, stop: bool) -> None:
        if stop:
            self._stop_reading(_STREAM)
        else:
            self._resume_reading(_STREAM)

    def _send_continue(self) -> None:
        if not self._finished and self._reader.phase == BODY:
            self._write(encode.CONTINUE)

    # Serving, one request at a time.

    def _begin(self, request: Request, keep_alive: bool, old: bool) -> None:
        if request.stream is not None:
            self._unread = cast(BodyStream, request.stream)
        try:
            outcome = self._handler(request)
        except Exception as error:
            outcome = self._explain_failure(request, error)
        if isinstance(outcome, Response):
            self._answer(request, keep_alive, old, outcome)
            return
        task = asyncio.ensure_future(outcome, loop=self._server.loop)
        self._running = task
        task.add_done_callback(lambda done: self._on_handler_done(done, request, keep_alive, old))

    def _on_handler_done(self, done: asyncio.Future[Response], request: Request, keep_alive: bool, old: bool) -> None:
        self._running = None
        if self._lost:
            self._abandon(done)
            return
        if done.cancelled():
            response = encode.explain(500, "the request was cancelled", "Send it again.")
        elif (error := done.exception()) is not None:
            response = self._explain_failure(request, error)
        else:
            response = done.result()
        self._answer(request, keep_alive, old, response)
        self._work()

    def _abandon(self, done: asyncio.Future[Response]) -> None:
        """The client is gone: close what the handler may have opened, and be forgotten."""
        response = None if done.cancelled() or done.exception() is not None else done.result()
        close = getattr(response.body, "aclose", None) if isinstance(response, Response) else None
        if close is None:
            self._server.forget(self)
        else:
            self._run_last(close())

    def _run_last(self, closing: Awaitable[Any]) -> None:
        self._running = asyncio.ensure_future(closing)
        self._running.add_done_callback(self._on_last_done)

    def _on_last_done(self, done: asyncio.Future[Any]) -> None:
        self._running = None
        if not done.cancelled() and (error := done.exception()) is not None:
            log.error("closing the body of a reply failed", exc_info=error)
        if self._lost:
            self._server.forget(self)

    def _explain_failure(self, request: Request, error: BaseException) -> Response:
        if isinstance(error, RequestError):
            return encode.explain_error(error)
        log.error("%s %s failed", request.method, request.path, exc_info=error)
        return encode.explain(500, "the server failed on this request", "Its log says why.")

    def _work(self) -> None:
        """Serve what waits, as far as it can be served now."""
        while self._running is None and self._writable is None and not self._finished:
            if self._pending:
                item, keep_alive, old = self._pending.popleft()
                if isinstance(item, Response):
                    self._answer_refusal(item)
                else:
                    self._begin(item, keep_alive, old)
            elif self._reading_stopped & _FULL:
                self._resume_reading(_FULL)
                if not self._pending:
                    return
            else:
                if self._owes_continue and self._reader.phase == BODY:
                    self._write(encode.CONTINUE)
                self._owes_continue = False
                return

    # Answering.

    def _answer(self, request: Request, keep_alive: bool, old: bool, response: Response) -> None:
        if self._unread is not None:
            keep_alive = keep_alive and self._unread.complete
            self._unread.abandon()
        keep_alive = keep_alive and not self._server.closing
        try:
            body = response.body
            line = encode.status_line(response.status)
            block = encode.block(response.headers)
            if not isinstance(body, (bytes, bytearray, memoryview)) and not hasattr(body, "__aiter__"):
                raise TypeError(f"the body of a Response is bytes or an async iterator, not {type(body).__name__}")
        except Exception as error:
            response = self._explain_failure(request, error)
            body, line = response.body, encode.status_line(response.status)
            block = encode.block(response.headers)
        keep_alive = keep_alive and not block.wants_close
        empty = request.method == "HEAD" or encode.has_no_body(response.status)
        if isinstance(body, bytes):
            self._answer_whole(line, block, body, empty, keep_alive, old, response.status)
        else:
            self._answer_stream(line, block, body, empty, keep_alive, old, response)

    def _answer_whole(
        self, line: bytes, block: encode.Block, body: bytes, empty: bool, keep_alive: bool, old: bool, status: int
    ) -> None:
        length: int | None = len(body)
        if empty:
            if encode.has_no_body(status):
                length = None
            elif not body and block.given_length is not None:
                length = block.given_length
            body = b""
        ending = _ending(keep_alive, old)
        if length is not None:
            head = b"%b%bContent-Length: %d\r\n%b" % (line, block.wire, length, ending)
        else:
            head = line + block.wire + ending
        if len(body) < _FLUSH:
            self._write(head + body)
        else:
            self._write(head)
            self._write(body)
        self._after_answer(keep_alive)

    def _answer_stream(
        self,
        line: bytes,
        block: encode.Block,
        body: AsyncIterator[bytes],
        empty: bool,
        keep_alive: bool,
        old: bool,
        response: Response,
    ) -> None:
        length = block.given_length
        chunked = length is None and not old and not encode.has_no_body(response.status)
        if length is None and old and not empty:
            keep_alive = False
        framing = b"Transfer-Encoding: chunked\r\n" if chunked else b""
        if length is not None and not encode.has_no_body(response.status):
            framing = b"Content-Length: %d\r\n" % length
        self._write(line + block.wire + framing + _ending(keep_alive, old))
        pumped = _close_body(body) if empty else self._pump(body, chunked, length)
        self._running = asyncio.ensure_future(pumped, loop=self._server.loop)
        self._running.add_done_callback(lambda done: self._on_pumped(done, body, keep_alive))

    async def _pump(self, body: AsyncIterator[bytes], chunked: bool, length: int | None) -> None:
        """Send the parts of a streamed body as they come and as the client takes them."""
        sent = 0
        try:
            async for part in body:
                if not part:
                    continue
                sent += len(part)
                if length is not None and sent > length:
                    raise ValueError(f"a streamed body is longer than its Content-Length of {length}")
                self._write(encode.chunk(part) if chunked else part)
                if self._writable is not None:
                    await self._writable
        finally:
            await _close_body(body)
        if length is not None and sent != length:
            raise ValueError(f"a streamed body ended after {sent} of {length} bytes")
        if chunked:
            self._write(encode.LAST_CHUNK)

    def _on_pumped(self, done: asyncio.Future[None], body: AsyncIterator[bytes], keep_alive: bool) -> None:
        self._running = None
        if self._lost:
            # A task cancelled before its first step never reached its own clean-up.
            self._run_last(_close_body(body))
            if not done.cancelled():
                done.exception()
            return
        if done.cancelled() or (error := done.exception()) is not None:
            if not done.cancelled():
                log.error("a streamed reply failed on its way", exc_info=error)
            self._transport.abort()
            return
        self._after_answer(keep_alive)
        self._work()

    def _answer_refusal(self, response: Response) -> None:
        self._answer_whole(
            encode.status_line(response.status),
            encode.block(response.headers),
            cast(bytes, response.body),
            False,
            False,
            False,
            response.status,
        )

    def _after_answer(self, keep_alive: bool) -> None:
        self._served = True
        self._unread = None
        self._idle_since = self.now = self._server.now
        if not keep_alive:
            self._finish()

    def _finish(self) -> None:
        """After the last answer: say so, then wait briefly for the client, else unread input would reset the reply."""
        self._finished = True
        self._pending.clear()
        self._held.clear()
        self._flush()
        if self._lost or self._transport.is_closing():
            return
        self._reading_stopped = 0
        self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if not self._corked:
            self._transport.write(data)
            return
        self._out.append(data)
        self._out_size += len(data)
        if self._out_size > _FLUSH:
            self._flush()

    def _flush(self) -> None:
        out = self._out
        if out:
            data = out[0] if len(out) == 1 else b"".join(out)
            out.clear()
            self._out_size = 0
            if not self._lost:
                self._transport.write(data)

    # Reading, stopped and resumed for several reasons at once.

    def _stop_reading(self, reason: int) -> None:
        if not self._reading_stopped and not self._finished:
            self._transport.pause_reading()
        self._reading_stopped |= reason

    def _resume_reading(self, reason: int) -> None:
        if not self._reading_stopped & reason:
            return
        self._reading_stopped &= ~reason
        if self._reading_stopped or self._finished:
            return
        held, self._held = self._held, []
        while held and not self._reading_stopped:
            self._feed_slices(held.pop(0))
        self._held += held
        if not self._reading_stopped and not self._finished:
            self._transport.resume_reading()

    # Time.

    def check(self, now: float) -> None:
        """Cut off a client that is too slow; the server calls this at every tick."""
        self.now = now
        limits = self._limits
        # Times were stamped with the last tick's clock: one tick of grace, so that nobody is cut off early.
        now -= limits.tick
        if self._finished:
            self._check_lingering(now)
            return
        if self._check_writing(now):
            return
        phase = self._reader.phase
        if phase != BODY or self._reading_stopped or (self._unread is not None and self._unread.unasked):
            self._mark = (self._reader.received, self.now)
        if phase == HEAD and not self._reading_stopped and now - self._reader.begun > limits.head_seconds:
            self._reader.refuse(408, "the headers did not arrive in time", "Send the request in one go.")
        elif phase == BODY and now - self._mark[1] > limits.body_seconds:
            if self._reader.received - self._mark[0] < limits.body_progress:
                self._reader.refuse(408, "the body arrives too slowly", "Send the request in one go.")
            self._mark = (self._reader.received, self.now)
        elif phase == IDLE and self._running is None and not self._pending:
            patience = limits.idle_seconds if self._served else limits.head_seconds
            if now - self._idle_since > patience:
                self._transport.close()

    def _check_lingering(self, now: float) -> None:
        if self._check_writing(now) or self._transport.get_write_buffer_size():
            return
        if now - self._idle_since > self._limits.linger_seconds:
            self._transport.abort()

    def _check_writing(self, now: float) -> bool:
        """Abort where the client has taken nothing of what waits for it; whether it was aborted."""
        waiting = self._transport.get_write_buffer_size()
        left, since = self._write_mark
        if not waiting or waiting != left:
            self._write_mark = (waiting, self.now)
        elif now - since > self._limits.write_seconds:
            self._transport.abort()
            return True
        return False

    # The end.

    def drain(self) -> None:
        """Close now if nothing is under way; else after the answers that are owed."""
        if self._running is None and not self._pending and self._reader.phase == IDLE and not self._finished:
            self._transport.close()

    def abort(self) -> None:
        """Close now, whatever is under way."""
        self._transport.abort()


def _nothing() -> None:
    pass


def _ending(keep_alive: bool, old: bool) -> bytes:
    """The last lines of a head: HTTP/1.1 keeps alive unless told otherwise, HTTP/1.0 the other way round."""
    if keep_alive:
        return b"Connection: keep-alive\r\n\r\n" if old else b"\r\n"
    return b"Connection: close\r\n\r\n"


async def _close_body(body: AsyncIterator[bytes]) -> None:
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()
