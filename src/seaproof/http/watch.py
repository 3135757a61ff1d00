"""Who is told of every answer that a server gives: for logs and figures, which are no business of the wire."""

from __future__ import annotations

from typing import Protocol

from seaproof.http.message import Request

CLIENT_GONE = 499
"""Stands for the status where the client left before there was an answer."""


class Watch(Protocol):
    """Told on the event loop, between two requests: it must be quick, and must not raise."""

    def ended(self, request: Request | None, status: int, sent: int, began: float, whole: bool) -> None:
        """The answer is out, with `sent` bytes of body; `began` is when the handler was called (monotonic seconds).
        Not `whole`: a stream that was broken off. `request` is None for what was refused before it was one.
        """
