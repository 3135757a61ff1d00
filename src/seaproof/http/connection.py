"""One connection of the server: requests answered in order, with back-pressure both ways, slow clients cut off.

A handler that returns its Response at once costs no task: the reply is written from within `data_received`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from seaproof.errors import RequestError
from seaproof.http import encode
from seaproof.http.body import BodyStream
from seaproof.http.inbound import BODY, ENDED, HEAD, IDLE, RequestReader
from seaproof.http.later import Later
from seaproof.http.ledger import DONE, READ, Ledger
from seaproof.http.limits import ServerLimits
from seaproof.http.message import Request, Response
from seaproof.http.outbound import Outbound, close_body, pump
from seaproof.http.watch import CLIENT_GONE

if TYPE_CHECKING:
    from seaproof.http.server import Server

Handler = Callable[[Request], "Response | Later | Awaitable[Response]"]

log = logging.getLogger("seaproof.http")

# Why reading is stopped, as bits.
_FULL, _STREAM, _WRITE = 1, 2, 4
_SLICE = 32 * 1024
_LARGE = 64 * 1024


class Connection(asyncio.Protocol):
    """Reads through a RequestReader, is its sink, runs the handler and writes what it answers."""

    _transport: asyncio.Transport
    _out: Outbound

    def __init__(self, server: Server, handler: Handler, limits: ServerLimits) -> None:
        self._server = server
        self._handler = handler
        self._limits = limits
        self._watch = server.watch
        self._cells: memoryview | None = None
        """Those of the server's ledger; written to here, as every call counts."""
        self._row = self._read = 0
        self._began = 0.0
        self._reader = RequestReader(limits, self, server.may_stream)
        self._feed = self._reader.feed
        self._pending: deque[tuple[Request | Response, bool, bool]] = deque()
        self._running: asyncio.Future[Any] | Later | None = None
        self._held: list[bytes] = []
        self._stopped = 0
        self._finished = self._lost = self._served = self._owes_continue = False
        self._unread: BodyStream | None = None
        self.now = self._idle_since = server.now
        self._mark = (0, server.now)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._out = Outbound(self._transport)
        if self._server.ledger is not None:
            self._open_row(self._server.ledger)
        if not self._server.admit(self):
            self.refuse(503, "too many connections", "Try again later, or raise the limit on connections.")
            self._transport.close()

    def _open_row(self, ledger: Ledger) -> None:
        connected = self._transport.get_extra_info("socket")
        row = ledger.open(connected.fileno()) if connected is not None else -1
        if row >= 0:
            self._cells, self._row = ledger.cells, row

    def data_received(self, data: bytes) -> None:
        if self._cells is not None:
            self._read += len(data)
            if not self._finished:
                self._cells[self._row] = self._out.sent + 1
            self._cells[self._row + READ] = self._read  # last: a request is owed its answer by the one or the other
        if self._finished:
            return
        if self._held:
            self._held.append(data)
            return
        if len(data) <= _SLICE:
            self._feed(data)
        else:
            self._feed_slices(data)

    def _feed_slices(self, data: bytes) -> None:
        """Feed a large read piece by piece, and keep the rest while too many requests wait."""
        view = memoryview(data)
        for start in range(0, len(data), _SLICE):
            if self._finished:
                return
            if self._stopped:
                self._held.append(data[start:])
                return
            self._feed(view[start : start + _SLICE])

    def pause_writing(self) -> None:
        if not self._receives:
            self._stop_reading(_WRITE)
        self._out.block(self._server.loop)

    def resume_writing(self) -> None:
        self._out.unblock()
        self._work()
        if self._out.blocked is None:
            self._resume_reading(_WRITE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._finished = True
        self._pending.clear()
        self._held.clear()
        self._out.end()
        if self._cells is not None:  # before the file descriptor is closed
            self._cells[self._row] = self._cells[self._row + DONE] = 0
            self._cells = None
        if self._unread is not None:
            self._unread.end(RequestError(400, "the client closed the connection"))
        if self._running is not None:
            self._running.cancel()
        else:
            self._server.forget(self)

    # What the reader calls.

    def deliver(self, request: Request, keep_alive: bool, old: bool) -> None:
        if self._running is None and not self._pending and self._out.blocked is None:
            if not self._finished:
                self._begin(request, keep_alive, old)
            return
        self._pending.append((request, keep_alive, old))
        if len(self._pending) >= self._limits.pipelined:
            self._stop_reading(_FULL)

    def refuse(self, status: int, what: str, next_step: str) -> None:
        response = encode.explain(status, what, next_step)
        if self._running is not None or self._pending:
            self._pending.append((response, False, False))
        elif not self._finished:
            self._refuse(response)

    def expects(self) -> None:
        if self._running is None and not self._pending and not self._finished:
            self._out.send(encode.CONTINUE)
        else:
            self._owes_continue = True

    def wants_stream(self, request: Request) -> bool:
        try:
            return self._server.wants_stream(request)
        except Exception as error:
            log.error("choosing whether to stream %s failed", request.path, exc_info=error)
            return False

    def open_stream(self, request: Request) -> BodyStream | None:
        if not self.wants_stream(request):
            return None
        waits = request.header(b"expect") != ""
        return BodyStream(self._limits.stream_bytes, self._on_stream_flow, self._send_continue if waits else None)

    def _on_stream_flow(self, stop: bool) -> None:
        if stop:
            self._stop_reading(_STREAM)
        else:
            self._resume_reading(_STREAM)

    def _send_continue(self) -> None:
        if not self._finished and self._reader.phase == BODY:
            self._out.send(encode.CONTINUE)

    # Serving, one request at a time.

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self._running is not None

    @property
    def _receives(self) -> bool:
        """Whether a body still comes as a stream: a client may send all of it before it reads any of the answer."""
        return self._unread is not None and not self._unread.complete and not self._finished

    def _begin(self, request: Request, keep_alive: bool, old: bool) -> None:
        if request.stream is not None:
            self._unread = cast(BodyStream, request.stream)
        if self._watch is not None:
            self._began = monotonic()
        outcome: Response | Later | asyncio.Future[Any]
        try:
            outcome = self._handler(request)  # type: ignore[assignment]
            if not isinstance(outcome, (Response, Later)):
                outcome = asyncio.ensure_future(outcome, loop=self._server.loop)
        except (Exception, asyncio.CancelledError) as error:
            outcome = _explain_failure(request, error)
        if isinstance(outcome, Response):
            self._answer(request, keep_alive, old, outcome)
        elif isinstance(outcome, Later):
            self._running = outcome
            outcome.then(lambda came: self._on_came(came, request, keep_alive, old))
        else:
            self._running = outcome
            outcome.add_done_callback(lambda done: self._on_handler_done(done, request, keep_alive, old))

    def _on_handler_done(self, done: asyncio.Future[Response], request: Request, keep_alive: bool, old: bool) -> None:
        came = asyncio.CancelledError() if done.cancelled() else done.exception() or done.result()
        self._on_came(came, request, keep_alive, old)

    def _on_came(self, came: Response | BaseException, request: Request, keep_alive: bool, old: bool) -> None:
        """The handler is done: answer with what came of it."""
        self._running = None
        if self._lost:
            self._tell(request, CLIENT_GONE, 0)
            self._close_and_forget(getattr(came, "body", None))
            return
        if isinstance(came, asyncio.CancelledError):
            what = (503, "the server is ending") if self._server.closing else (500, "the request was cancelled")
            came = encode.explain(*what, "Send it again.")
        elif isinstance(came, BaseException):
            came = _explain_failure(request, came)
        self._answer(request, keep_alive, old, came)
        if self._pending or self._stopped or self._owes_continue:
            self._work()

    def _close_and_forget(self, body: object) -> None:
        """The client is gone: close what the handler may have opened, and be forgotten."""
        if not hasattr(body, "aclose"):
            self._server.forget(self)
            return
        self._running = asyncio.ensure_future(close_body(body), loop=self._server.loop)
        self._running.add_done_callback(self._on_closed)

    def _on_closed(self, done: asyncio.Future[None]) -> None:
        self._running = None
        if not done.cancelled() and (error := done.exception()) is not None:
            log.error("closing the body of a reply failed", exc_info=error)
        self._server.forget(self)

    def _work(self) -> None:
        """Serve what waits, as far as it can be served now."""
        while self._running is None and self._out.blocked is None and not self._finished:
            if self._pending:
                item, keep_alive, old = self._pending.popleft()
                if self._cells is not None:
                    self._cells[self._row] = self._out.sent + 1
                if isinstance(item, Response):
                    self._refuse(item)
                else:
                    self._begin(item, keep_alive, old)
            elif self._stopped & _FULL:
                self._resume_reading(_FULL)
            else:
                if self._owes_continue and self._reader.phase == BODY:
                    self._out.send(encode.CONTINUE)
                self._owes_continue = False
                return

    # Answering.

    def _answer(self, request: Request, keep_alive: bool, old: bool, response: Response) -> None:
        if self._unread is not None:
            keep_alive = keep_alive and self._unread.complete
        keep_alive = keep_alive and not self._server.closing
        head_only = request.method == "HEAD"
        try:
            if isinstance(response.body, bytes):
                self._answer_whole(response, head_only, keep_alive, old)
                head = None
            elif not hasattr(response.body, "__aiter__"):
                raise TypeError(f"a body is bytes or an async iterator, not {type(response.body).__name__}")
            else:
                head = encode.stream_head(response, head_only, keep_alive, old)
        except Exception as error:
            response, head = _explain_failure(request, error), None
            self._answer_whole(response, head_only, keep_alive, old)
        if head is None:
            if self._watch is not None:
                self._watch.ended(request, response.status, len(response.body), self._began, True)  # type: ignore[arg-type]
        else:
            self._answer_stream(request, response.status, cast("AsyncIterator[bytes]", response.body), head)

    def _refuse(self, response: Response) -> None:
        """Answer what never became a request."""
        self._answer_whole(response, False, False, False)
        if self._watch is not None:
            self._watch.ended(None, response.status, len(cast(bytes, response.body)), monotonic(), True)

    def _tell(self, request: Request, status: int, sent: int, whole: bool = True) -> None:
        if self._watch is not None:
            self._watch.ended(request, status, sent, self._began, whole)

    def _answer_whole(self, response: Response, head_only: bool, keep_alive: bool, old: bool) -> None:
        head, keep_alive, follows = encode.whole_head(response, head_only, keep_alive, old)
        body = cast(bytes, response.body)
        if follows and len(body) < _LARGE:
            # One write and one copy: cheaper than two writes for what most replies are.
            head += body
            follows = False
        out = self._out
        out.sent += len(head)
        if self._cells is not None:  # first, for from the write on the client may act on it
            self._cells[self._row + DONE] = out.sent + (len(body) if follows else 0) + 1
        out.write(head)
        if follows:
            out.send(body)
        self._after_answer(keep_alive)

    def _answer_stream(
        self, request: Request, status: int, body: AsyncIterator[bytes], head: encode.StreamHead
    ) -> None:
        self._out.send(head.wire)
        self._out.streamed = 0
        sending = close_body(body) if head.empty else pump(self._out, body, head)
        self._running = asyncio.ensure_future(sending, loop=self._server.loop)
        self._running.add_done_callback(lambda done: self._on_pumped(done, request, status, body, head))

    def _on_pumped(
        self,
        done: asyncio.Future[None],
        request: Request,
        status: int,
        body: AsyncIterator[bytes],
        head: encode.StreamHead,
    ) -> None:
        self._running = None
        error = None if done.cancelled() else done.exception()
        whole = not self._lost and not done.cancelled() and error is None
        self._tell(request, status, 0 if head.empty else self._out.streamed, whole)
        if self._lost:
            # A task that was cancelled before its first step has closed nothing.
            self._close_and_forget(body)
        elif not whole:
            if error is not None and not isinstance(error, RequestError):  # which was logged by who raised it
                log.error("a streamed reply failed on its way", exc_info=error)
            self._break_off(head)
        else:
            if self._cells is not None:
                self._cells[self._row + DONE] = self._out.sent + 1
            self._after_answer(head.keep_alive)
            self._work()

    def _break_off(self, head: encode.StreamHead) -> None:
        """End a stream so that the client cannot take it for whole; what was made of it still goes out."""
        may_not_read, self._finished = self._receives, True
        self._pending.clear()
        self._held.clear()
        if may_not_read:
            self._transport.abort()
            return
        if head.chunked or head.length is not None:
            self._transport.close()
            return
        # Its end is that of the connection: only a reset differs from that.
        connected = self._transport.get_extra_info("socket")
        if connected is not None and connected.family in (socket.AF_INET, socket.AF_INET6):
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _after_answer(self, keep_alive: bool) -> None:
        self._served = True
        unread = self._unread
        if unread is not None:
            self._unread = None
            unread.abandon()
        self._idle_since = self.now
        if not keep_alive:
            self._finish()

    def _finish(self) -> None:
        """After the last answer. Where input may be left, wait for the client: else it would reset the reply."""
        self._finished = True
        unread = self._reader.phase != IDLE or self._held or self._pending
        self._pending.clear()
        self._held.clear()
        if self._lost or self._transport.is_closing():
            return
        if unread and self._transport.can_write_eof():
            self._stopped = 0
            self._transport.resume_reading()
            self._transport.write_eof()
        else:
            self._transport.close()

    # Reading, stopped and resumed for several reasons at once.

    def _stop_reading(self, reason: int) -> None:
        if not self._stopped and not self._finished:
            self._transport.pause_reading()
        self._stopped |= reason

    def _resume_reading(self, reason: int) -> None:
        if not self._stopped & reason:
            return
        self._stopped &= ~reason
        if self._stopped or self._finished:
            return
        held, self._held = self._held, []
        while held and not self._stopped and not self._finished:
            self._feed_slices(held.pop(0))
        self._held += held
        if not self._stopped and not self._finished:
            self._transport.resume_reading()

    # Time.

    def check(self, now: float) -> None:
        """Cut off a client that is too slow; the server calls this at every tick."""
        self.now = now
        limits, reader = self._limits, self._reader
        # Times are stamped with the last tick's clock: one tick of grace, so that nobody is cut off early.
        late = now - limits.tick
        if self._out.is_stuck(now, limits.write_seconds) and not self._receives:
            self._transport.abort()
        elif self._finished:
            if late - self._idle_since > limits.linger_seconds and self._out.is_empty() and not self._lost:
                self._transport.abort()
        elif reader.phase == HEAD:
            if not self._stopped and late - reader.begun > limits.head_seconds:
                reader.refuse(408, "the headers did not arrive in time", "Send the request in one go.")
        elif reader.phase == IDLE and self._running is None and not self._pending:
            patience = limits.idle_seconds if self._served else limits.head_seconds
            if late - self._idle_since > patience:
                self._transport.close()
        self._check_body(late)

    def _check_body(self, late: float) -> None:
        received = self._reader.received
        waits_for_us = self._stopped or (self._unread is not None and self._unread.is_unasked)
        if self._reader.phase != BODY or waits_for_us:
            self._mark = (received, self.now)
        elif late - self._mark[1] > self._limits.body_seconds:
            if received - self._mark[0] < self._limits.body_progress:
                self._reader.refuse(408, "the body arrives too slowly", "Send the request in one go.")
            self._mark = (received, self.now)

    # The end.

    def drain(self) -> None:
        """Close now if nothing is under way; else after the answers that are owed."""
        if self._running is None and not self._pending and self._reader.phase in (IDLE, ENDED):
            self._transport.close()

    def give_up(self) -> None:
        """Cancel what is being answered."""
        if self._running is not None:
            self._running.cancel()

    def abort(self) -> None:
        """Close now, whatever is under way."""
        self._transport.abort()


def _explain_failure(request: Request, error: BaseException) -> Response:
    """What the client is told of an exception in the handler: a RequestError's own words, or nothing but 500."""
    if isinstance(error, RequestError):
        try:
            response = encode.explain_error(error)
            encode.whole_head(response, False, True, False)
            return response
        except ValueError as unusable:
            error = unusable
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return encode.explain(500, "the server failed on this request", "Its log says why.")
