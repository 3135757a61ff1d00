"""The writing half of a server's connection: no faster than the client takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from seaproof.http import encode


class Outbound:
    """Writes to one transport, which gathers what is written until the loop's next turn."""

    __slots__ = ("_mark", "_transport", "blocked", "lost", "sent", "streamed", "write")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._mark = (0, 0.0)
        self.write: Callable[[bytes], None] = transport.write
        """Send these bytes: the transport's own method, as every call counts here. Whoever calls it adds to `sent`."""
        self.sent = 0
        """Bytes that were given to the transport since the connection began."""
        self.lost = False
        self.streamed = 0
        """Bytes of the streamed body that goes out now, or went out last."""
        self.blocked: asyncio.Future[None] | None = None
        """Done as soon as the client has taken enough; None while it does."""

    def send(self, data: bytes) -> None:
        """Send these bytes, and count them."""
        self.sent += len(data)
        self.write(data)

    def block(self, loop: asyncio.AbstractEventLoop) -> None:
        """The transport holds more than it should."""
        if self.blocked is None:
            self.blocked = loop.create_future()

    def unblock(self) -> None:
        """The transport may take more."""
        blocked, self.blocked = self.blocked, None
        if blocked is not None and not blocked.done():
            blocked.set_result(None)

    def end(self) -> None:
        """The connection is gone."""
        self.lost = True
        self.write = _drop
        if self.blocked is not None and not self.blocked.done():
            self.blocked.cancel()

    def is_empty(self) -> bool:
        """Whether the client's side of the network has taken all."""
        return self.lost or self._transport.get_write_buffer_size() == 0

    def is_stuck(self, now: float, patience: float) -> bool:
        """Whether the client has taken nothing for `patience` seconds, though something waits for it."""
        waiting = 0 if self.lost else self._transport.get_write_buffer_size()
        left, since = self._mark
        if not waiting or waiting != left:
            self._mark = (waiting, now)
            return False
        return now - since > patience


def _drop(data: bytes) -> None:
    """Takes the place of `write` when nobody is there any more."""


async def pump(out: Outbound, body: AsyncIterator[bytes], head: encode.StreamHead) -> None:
    """Send the parts of a streamed body as they come; ValueError where they do not fit the length announced."""
    length = head.length
    out.streamed = sent = 0
    try:
        async for part in body:
            if not part:
                continue
            sent += len(part)
            if length is not None and sent > length:
                raise ValueError(f"a streamed body is longer than its Content-Length of {length}")
            out.send(encode.chunk(part) if head.chunked else part)
            out.streamed = sent
            if out.blocked is not None:
                await out.blocked
    finally:
        await close_body(body)
    if length is not None and sent != length:
        raise ValueError(f"a streamed body ended after {sent} of {length} bytes")
    if head.chunked:
        out.send(encode.LAST_CHUNK)


async def close_body(body: object) -> None:
    """Close an async generator; anything else has nothing to close."""
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()
