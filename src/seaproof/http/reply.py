"""What a client gets back: a reply with its body whole, or one whose body is read as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from seaproof.errors import HttpError
from seaproof.http.message import Headers
from seaproof.http.wire import Wire


@dataclass(slots=True)
class Reply:
    """One reply. Times in seconds; `connect_seconds` is 0.0 where a connection was used again."""

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    connect_seconds: float = 0.0
    first_byte_seconds: float = 0.0
    """From the call to the first byte of the reply."""
    total_seconds: float = 0.0

    def header(self, name: bytes, default: str = "") -> str:
        """The first header of this (lower-case) name, as text."""
        return _header(self.headers, name, default)


class StreamedReply:
    """Status and headers, and the body as an async iterator, read no faster than it is taken.

    Read it to its end, or `await aclose()`, which closes the connection where something is left. Each part must come
    within the `timeout` given to the request.
    """

    def __init__(
        self,
        wire: Wire,
        where: str,
        timeout: float,
        release: Callable[[Wire], None],
        connect_seconds: float = 0.0,
        first_byte_seconds: float = 0.0,
    ) -> None:
        assert wire.stream is not None
        self.status = wire.status
        self.headers = wire.headers
        self.length = wire.length
        """Bytes of the body; None where the peer did not say."""
        self.connect_seconds = connect_seconds
        self.first_byte_seconds = first_byte_seconds
        """As those of `Reply`."""
        self._wire: Wire | None = wire
        self._body = wire.stream
        self._where = where
        self._timeout = timeout
        self._release = release

    def header(self, name: bytes, default: str = "") -> str:
        """The first header of this (lower-case) name, as text."""
        return _header(self.headers, name, default)

    def __aiter__(self) -> StreamedReply:
        return self

    async def __anext__(self) -> bytes:
        timer = asyncio.get_running_loop().call_later(self._timeout, self.expire)
        try:
            return await self._body.__anext__()
        except StopAsyncIteration:
            self._let_go()
            raise
        except BaseException:
            self.close()
            raise
        finally:
            timer.cancel()

    def expire(self) -> None:
        """Whoever reads gets HttpError `timeout`, and the connection is closed."""
        if self._wire is not None:
            what = f"no part of the reply's body came within {self._timeout:g} s"
            self._wire.fail(HttpError("timeout", what, where=self._where))

    def _let_go(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            self._release(wire)

    def close(self) -> None:
        """Stop reading; a body that was not read to its end costs the connection."""
        if self._wire is not None:
            self._wire.reusable = False
            self._let_go()

    async def aclose(self) -> None:
        """As `close`, for what is closed as an async iterator."""
        self.close()

    async def __aenter__(self) -> StreamedReply:
        return self

    async def __aexit__(self, *failure: object) -> None:
        self.close()


def _header(headers: Headers, name: bytes, default: str) -> str:
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return default
