"""A request's body that lies in storage: sent in pieces as the connection takes them, and never whole in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO

PIECE = 256 * 1024


class StoredBody:
    """As much of `bytes` as a chain looks at: its length and its head. It can be sent more than once."""

    def __init__(self, open: Callable[[], BinaryIO], size: int) -> None:
        self._open = open
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        """The head, as in `body[:512]`."""
        with self._open() as file:
            return file.read(part.stop)

    async def parts(self) -> AsyncIterator[bytes]:
        """The pieces, each read in a thread when it is asked for. StorageError or OSError where that fails."""
        file = await asyncio.to_thread(self._open)
        try:
            while piece := await asyncio.to_thread(file.read, PIECE):
                yield piece
        finally:
            file.close()
