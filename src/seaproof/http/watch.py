"""Who is told of every answer that a server gives: for logs and figures, which are no business of the wire."""

from __future__ import annotations

from typing import Protocol

from seaproof.http.message import Request

CLIENT_GONE = 499
"""Stands for the status where the client left before there was an answer."""


class Watch(Protocol):
    """Told on the event loop, between two requests: it must be quick, and must not raise."""

    def begun(self) -> None:
        """The handler is about to be called with a request."""

    def ended(self, request: Request | None, status: int, sent: int, seconds: float, whole: bool) -> None:
        """The answer is out, `sent` bytes of body after `seconds`; not `whole`: a stream that was broken off.

        Once for each `begun`; and without one, `request` None, for what was refused before there was a request.
        """
