"""A reply for a caller that may send all of its body before it reads any of the answer, as most HTTP clients do.

Where the containers answer while they are still being sent to, nobody would go on: the caller waits for room to send,
and the room is taken by the reply that it does not read. So, as long as it sends, the reply is read ahead of it and
waits in a file. After that it comes no faster than it is taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from tempfile import SpooledTemporaryFile

from seaproof.invocations.hop_body import HopBody

_IN_MEMORY = 1024 * 1024
_PIECE = 256 * 1024


class ReadAhead:
    """An async iterator over the parts of `body`, for one reader. To be made on the event loop."""

    def __init__(self, body: HopBody, sends: Callable[[], bool]) -> None:
        """`sends` is whether the caller has more to send."""
        self._body = body
        self._sends = sends
        self._file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed with the body
        self._written = self._taken = 0
        self._came = asyncio.Event()
        self._reading: asyncio.Task[bool] = asyncio.ensure_future(self._read())
        self._reading.add_done_callback(lambda done: self._came.set())

    async def _read(self) -> bool:
        """Read while the caller sends; whether the reply has ended."""
        while self._sends():
            part = await anext(self._body, b"")
            if not part:
                return True
            self._file.seek(self._written)
            self._file.write(part)
            self._written += len(part)
            self._came.set()
        return False

    def __aiter__(self) -> ReadAhead:
        return self

    async def __anext__(self) -> bytes:
        while self._taken == self._written and not self._reading.done():
            self._came.clear()
            await self._came.wait()
        if self._taken < self._written:
            self._file.seek(self._taken)
            part = self._file.read(min(_PIECE, self._written - self._taken))
            self._taken += len(part)
            if self._taken == self._written:
                self._taken = self._written = 0
            return part
        if self._reading.result():
            raise StopAsyncIteration
        return await self._body.__anext__()

    def close(self) -> None:
        """Nobody reads on."""
        self._reading.cancel()
        self._file.close()
        self._body.close()
