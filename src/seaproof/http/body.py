"""A request body that is read while it arrives: a bounded buffer between the connection and one handler."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class BodyStream:
    """An async iterator over the parts of a body; reading from the network stops while `limit` bytes wait here."""

    def __init__(self, limit: int, flow: Callable[[bool], None], wanted: Callable[[], None] | None = None) -> None:
        """`flow(True)` stops reading, `flow(False)` resumes it; `wanted` is called before the first read."""
        self._parts: deque[bytes] = deque()
        self._held = 0
        self._limit = limit
        self._flow = flow
        self._wanted = wanted
        self._asked = False
        self._stopped = False
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self.complete = False
        """Whether the whole body has arrived."""

    @property
    def is_unasked(self) -> bool:
        """Whether nobody has begun to read."""
        return not self._asked

    def feed(self, part: bytes) -> None:
        """Take one part from the network."""
        self._parts.append(part)
        self._held += len(part)
        if self._held > self._limit and not self._stopped:
            self._stopped = True
            self._flow(True)
        self._wake()

    def end(self, error: Exception | None = None) -> None:
        """No more parts come; the reader gets what is there, then the error if there is one."""
        if not self.complete and self._error is None:
            self._error = error
            self.complete = error is None
        self._wake()

    def abandon(self) -> None:
        """Nobody will read on: forget what is held."""
        self._parts.clear()
        self._held = 0
        self._let_flow()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _let_flow(self) -> None:
        if self._stopped:
            self._stopped = False
            self._flow(False)

    def __aiter__(self) -> BodyStream:
        return self

    async def __anext__(self) -> bytes:
        if not self._asked:
            self._asked = True
            if self._wanted is not None:
                self._wanted()
        while not self._parts:
            if self._error is not None:
                raise self._error
            if self.complete:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        part = self._parts.popleft()
        self._held -= len(part)
        if self._held <= self._limit // 2:
            self._let_flow()
        return part
