"""A reply that goes on until somebody closes it, as a container streams one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from seaproof.http.message import Response


def endless_reply(closed: asyncio.Event) -> Response:
    """`closed` is set in the end of its body."""

    async def body() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0)
        finally:
            closed.set()

    return Response(200, [], body())
