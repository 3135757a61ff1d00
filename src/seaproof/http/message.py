"""The two records that pass between the wire and the code behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

Headers = list[tuple[bytes, bytes]]
"""As on the wire, in order; names are lower case in what is received."""


@dataclass(slots=True)
class Request:
    """One request, its body whole or a stream."""

    method: str
    path: str
    """Percent-decoded, without the query."""
    query: str = ""
    """What follows the `?`, as given."""
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    """Empty where the body is a stream."""
    stream: AsyncIterator[bytes] | None = None
    """The parts of the body as they come, where the server was told to stream it (see `serve`); else None."""
    taken: float = 0.0
    """When the work on it began (monotonic seconds), where the handler says so: until then it waited."""

    def header(self, name: bytes, default: str = "") -> str:
        """The first header of this (lower-case) name, as text."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return default


@dataclass(slots=True)
class Response:
    """One answer. `body` is bytes, or an iterator whose parts go out as they come (chunked)."""

    status: int = 200
    headers: Headers = field(default_factory=list)
    body: bytes | AsyncIterator[bytes] = b""
