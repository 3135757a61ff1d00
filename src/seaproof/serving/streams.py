"""Answers that come piece by piece: a generator of the author's becomes a body that goes out as it is made.

Each piece is made where predictions run, never on the event loop. The first one is waited for before the head of
the answer goes out, so that a function which fails at once still gets its 500.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from seaproof.http.message import Response
from seaproof.serving.predictions import AsyncThread, PlainThread
from seaproof.serving.predictor import Parts

_END = object()


async def stream(parts: Parts, thread: PlainThread | AsyncThread) -> Response:
    """The answer made of the pieces, each of which the thread is asked for."""
    is_async = isinstance(parts.pieces, AsyncGenerator)
    if is_async and isinstance(thread, PlainThread):
        raise TypeError("a function returned an asynchronous generator; make the function an `async def`")
    submit: Any = thread.submit
    take: Any
    close: Any
    if isinstance(thread, AsyncThread):
        take, close = (_take_async, _close_async) if is_async else (_take_plain, _close_plain)
    else:
        take, close = _take, _close
    try:
        first = await submit(take, parts.pieces)
    except asyncio.CancelledError:
        submit(close, parts.pieces, limited=False)
        raise
    if isinstance(first, Response):  # the request took too long, and this is what it is answered instead
        submit(close, parts.pieces, limited=False)
        return first
    return Response(parts.status, parts.headers, _pieces(first, parts.pieces, submit, take, close))


async def _pieces(first: Any, source: Any, submit: Any, take: Any, close: Any) -> AsyncIterator[bytes]:
    # Its caller closes it when the client has gone; the author's generator is closed then too.
    try:
        piece = first
        while piece is not _END:
            yield piece.encode() if isinstance(piece, str) else bytes(piece)
            piece = await submit(take, source, limited=False)
    finally:
        submit(close, source, limited=False)


def _take(source: Any) -> Any:
    return next(source, _END)


def _close(source: Any) -> None:
    source.close()


async def _take_plain(source: Any) -> Any:
    return next(source, _END)


async def _close_plain(source: Any) -> None:
    source.close()


async def _take_async(source: Any) -> Any:
    return await anext(source, _END)


async def _close_async(source: Any) -> None:
    await source.aclose()
