"""Answers that come piece by piece: an iterator of the author's becomes a body that goes out as it is made.

Each piece is made where predictions run, never on the event loop: between two pieces of a stream the thread takes up
what else has come, so that a stream holds up others for as long as one piece takes, and the author's plain functions
still never run twice at once. The first piece is waited for before the head of the answer goes out, so that a
function which fails at once still gets its 500.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncIterator
from typing import Any, cast

from seaproof.errors import RequestError, authors_traceback
from seaproof.http.message import Response
from seaproof.serving.predictions import AsyncThread, PlainThread
from seaproof.serving.predictor import Parts
from seaproof.serving.replies import log

_END = object()


async def stream(parts: Parts, thread: PlainThread | AsyncThread, longest: float | None = None) -> Response:
    """The answer made of the pieces, each of which the thread is asked for; what making the first one raises
    passes through. `longest`: seconds from its request to its last byte, those of the platform if None."""
    source = _Source(parts.pieces, thread, _platforms() if longest is None else longest)
    try:
        first = await source.take(limited=True)
    except BaseException:
        source.close()
        raise
    if isinstance(first, Response):  # the request took too long, and this is what it is answered instead
        source.close()
        return first
    return Response(parts.status, parts.headers, cast("AsyncIterator[bytes]", _Body(first, source)))


def _platforms() -> float:
    # Imported where it is needed: its many small records take a while to define, and /ping would wait for it.
    from seaproof.contract.limits import REAL_TIME

    return float(REAL_TIME.streaming.value)


class _Body:
    """The pieces, from the first on. Its caller closes it when the client has gone, and with it the author's iterator.

    No generator: one that is closed before its first step does not run its `finally`.
    """

    def __init__(self, first: Any, source: _Source) -> None:
        self._first = first
        self._source: _Source | None = source

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        if self._source is None:
            raise StopAsyncIteration
        piece, self._first = self._first, None
        try:
            if piece is None:
                piece = await self._source.take(limited=False)
        except RequestError as error:
            log.error("a stream was broken off: %s", error)
            await self.aclose()
            raise
        except Exception as error:
            log.error("a stream failed after its first part and was broken off\n%s", authors_traceback(error).rstrip())
            await self.aclose()
            raise RequestError(500, "the function failed") from error
        if piece is _END:
            await self.aclose()
            raise StopAsyncIteration
        return bytes(piece)

    async def aclose(self) -> None:
        """Nobody reads any more."""
        source, self._source = self._source, None
        if source is not None:
            source.close()


class _Source:
    """The author's iterator, asked piece by piece where predictions run."""

    def __init__(self, pieces: Any, thread: PlainThread | AsyncThread, longest: float) -> None:
        self._thread: Any = thread
        self._longest = longest
        self._until = time.monotonic() + longest
        self._made: Any = _OnLoop(pieces) if isinstance(thread, AsyncThread) else _InThread(pieces)

    async def take(self, *, limited: bool) -> Any:
        """The next piece as bytes, or the end; RequestError where the stream's time is over."""
        future = self._thread.submit(self._made.take, None, limited=limited)
        late = asyncio.get_running_loop().call_later(self._until - time.monotonic(), self._expire, future)
        try:
            return await future
        finally:
            late.cancel()

    def close(self) -> None:
        """Run what the author's iterator does at its end; a plain one first ends the piece that it is at."""
        self._thread.submit(self._made.close, None, limited=False)

    def _expire(self, future: asyncio.Future[Any]) -> None:
        if not future.done():
            what = f"it was not complete within {self._longest:g} s, which is all that the platform gives"
            future.set_exception(RequestError(504, what, next_step="Send less in one answer."))


# An iterator that sets context variables (as a span does that is open while a part is sent) finds them again at its
# next step, and nobody else does: each stream has one context from its first step to its end.


class _InThread:
    """Steps of a plain iterator in a plain thread."""

    def __init__(self, pieces: Any) -> None:
        self._pieces = pieces
        self._context = contextvars.copy_context()

    def take(self, _: None) -> Any:
        piece = self._context.run(next, self._pieces, _END)
        return piece if piece is _END else _encoded(piece)

    def close(self, _: None) -> None:
        try:
            if hasattr(self._pieces, "close"):
                self._context.run(self._pieces.close)
        except Exception as error:
            _complain(error)


class _OnLoop:
    """Steps of an iterator of either kind on the author's event loop, all of them made by one task."""

    def __init__(self, pieces: Any) -> None:
        self._pieces = pieces
        self._is_async = hasattr(pieces, "__anext__")
        self._asked: asyncio.Queue[asyncio.Future[Any]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending = False

    async def take(self, _: None) -> Any:
        if self._asked is None:
            self._asked = asyncio.Queue()
            self._task = asyncio.create_task(self._make(self._asked))
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked.put_nowait(answer)
        try:
            return await answer
        except asyncio.CancelledError:
            self._end()
            raise

    async def close(self, _: None) -> None:
        if self._task is None:
            await self._close()
        self._end()

    def _end(self) -> None:
        # Once: a second time would cut off what the author does at the end.
        if self._task is not None and not self._ending:
            self._ending = True
            self._task.cancel()

    async def _make(self, asked: asyncio.Queue[asyncio.Future[Any]]) -> None:
        """Answer those who ask, until the end of the iterator or of this task."""
        piece: Any = None
        try:
            while piece is not _END:
                answer = await asked.get()
                try:
                    piece = await anext(self._pieces, _END) if self._is_async else next(self._pieces, _END)
                    result = piece if piece is _END else _encoded(piece)
                except Exception as error:
                    if not answer.done():
                        answer.set_exception(error)
                    return
                if not answer.done():
                    answer.set_result(result)
        except asyncio.CancelledError:
            return
        finally:
            self._ending = True
            await self._close()

    async def _close(self) -> None:
        try:
            if self._is_async and hasattr(self._pieces, "aclose"):
                await self._pieces.aclose()
            elif not self._is_async and hasattr(self._pieces, "close"):
                self._pieces.close()
        except Exception as error:
            _complain(error)


def _encoded(piece: Any) -> bytes:
    if isinstance(piece, str):
        return piece.encode()
    if isinstance(piece, (bytes, bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"a part of a streamed answer is {type(piece).__name__}, and is to be bytes or str")


def _complain(error: Exception) -> None:
    log.error("a stream failed as it was closed\n%s", authors_traceback(error).rstrip())
