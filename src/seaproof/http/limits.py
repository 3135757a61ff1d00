"""How much a server takes from a client, and how long it waits for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerLimits:
    """Sizes in bytes, times in seconds. Times are checked a few times per limit, so they may run over by a quarter."""

    header_bytes: int = 64 * 1024
    """Request line and headers together; more is answered 431."""
    body_bytes: int = 25 * 1024 * 1024
    """More is answered 413, before it is read."""
    streamed_bytes: int = 0
    """The same of a body that goes to its handler as a stream; 0 for `body_bytes`."""
    head_seconds: float = 20.0
    """From the first byte of a request (or from the connection's start) to the end of its headers; else 408."""
    body_seconds: float = 10.0
    """In each such span a body must bring at least `body_progress` bytes; else 408."""
    body_progress: int = 1024
    idle_seconds: float = 75.0
    """How long a kept-alive connection may be silent."""
    write_seconds: float = 30.0
    """How long a client may take no byte of a reply that waits for it."""
    linger_seconds: float = 2.0
    """How long input is thrown away after a refusal, so that the client can read the answer."""
    connections: int = 4096
    """More are answered 503."""
    pipelined: int = 32
    """Requests of one connection that may wait behind the one being served; then reading stops."""
    stream_bytes: int = 256 * 1024
    """What a streamed request body may hold unread before reading stops."""

    @property
    def tick(self) -> float:
        """How often the times are checked, in seconds."""
        shortest = min(self.head_seconds, self.body_seconds, self.idle_seconds, self.write_seconds, self.linger_seconds)
        return min(1.0, max(0.02, shortest / 4))
