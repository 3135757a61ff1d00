"""A body on its way from one hop to the next: read from the one before as it comes, and sent on as it is read.

What is kept of it is what a report of a failure needs: its size so far, its first bytes, and how it ended.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

HEAD_BYTES = 512
"""Bytes of a body that are kept, to be shown where a step fails."""
LARGE = 256 * 1024
"""Bytes of a body that are held whole, as one piece is dealt with faster than its parts; what is larger is passed on
as it comes, where nothing needs it whole."""


async def held(source: AsyncIterator[bytes], length: int | None) -> bytes | HopBody:
    """A caller's body: in one piece where it turns out to be small, else to be passed on. What `source` raises."""
    parts: list[bytes] = []
    size = 0 if length is None else length
    if size <= LARGE:
        size = 0
        async for part in source:
            parts.append(part)
            size += len(part)
            if size > LARGE:
                break
        else:
            return b"".join(parts)
    return HopBody(source, length, b"".join(parts))


class HopBody:
    """An async iterator over the parts of one body, for one reader."""

    def __init__(
        self,
        source: AsyncIterator[bytes],
        length: int | None,
        first: bytes = b"",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`length` is what the sender said that it has, in bytes; `first` was read from `source` before."""
        self.length = length
        self.size = 0
        """Bytes that were passed on so far."""
        self.head = b""
        """The first of them."""
        self.waits = False
        """Whether the reader waits for more: as long as it does, what is slow is whoever sends this body."""
        self.error: Exception | None = None
        """Why it broke off."""
        self.ended_at = 0.0
        """When it had come to its end, on the clock `now`; 0.0 before."""
        self._source = source
        self._first = first
        self._now = now

    def __aiter__(self) -> HopBody:
        return self

    async def __anext__(self) -> bytes:
        if self._first:
            part, self._first = self._first, b""
        else:
            self.waits = True  # and stays so where the reader is cancelled
            try:
                part = await self._source.__anext__()
            except Exception as error:
                self.waits = False
                self.ended_at = self._now()
                if not isinstance(error, StopAsyncIteration):
                    self.error = error
                raise
            self.waits = False
        self.size += len(part)
        if len(self.head) < HEAD_BYTES:
            self.head = (self.head + part)[:HEAD_BYTES]
        return part

    def close(self) -> None:
        """Nobody reads on: what sends it is told so, where it can be."""
        if not self.ended_at:
            self.ended_at = self._now()
        close = getattr(self._source, "close", None)
        if close is not None:
            close()
