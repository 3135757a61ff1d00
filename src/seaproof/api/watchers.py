"""Whoever looks on while endpoints answer: data capture and shadow variants. No caller waits for them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import cast

from seaproof.api.mirror import Mirror, as_answered
from seaproof.contract.http import INVOKED_VARIANT
from seaproof.control.captures import Captures
from seaproof.control.outcomes import Outcomes
from seaproof.control.plane import Plane
from seaproof.control.shadows import Answer
from seaproof.errors import ServiceError
from seaproof.http.client import Client
from seaproof.http.message import Request, Response
from seaproof.http.outbound import close_body
from seaproof.invocations.capture import Exchange
from seaproof.invocations.routing import Routing

_INVOKED_VARIANT = INVOKED_VARIANT.encode()


class Watchers:
    """Told of every answer; lives on the coordinator's event loop. `begun` is when the request came (monotonic)."""

    def __init__(self, plane: Plane, client: Client, outcomes: Outcomes) -> None:
        self._routes = plane.fleets.routes
        self._most = plane.settings.profile.response_body.value
        self._captures = Captures(plane)
        self._mirror = Mirror(plane, client, outcomes, self._captures)

    async def close(self) -> None:
        """Give up on shadows that have not answered."""
        await self._mirror.close()

    def needs(self, endpoint: str) -> bool:
        """Whether requests to this endpoint are looked at, for which their bodies have to be whole."""
        return self._watched(endpoint) is not None

    def answered(self, endpoint: str, request: Request, response: Response, begun: float) -> None:
        """The caller gets this answer."""
        routing = self._watched(endpoint)
        if routing is not None and request.stream is None:  # else this has begun since the request came
            self._saw(routing, request, response, begun)

    def failed(self, endpoint: str, request: Request, error: ServiceError, begun: float) -> None:
        """The caller gets an error; a shadow is asked where that is the container's own."""
        routing = self._watched(endpoint)
        if routing is None or error.code != "ModelError":
            return
        answer = Answer(routing.variants[0].name, as_answered(error), time.monotonic() - begun)
        self._mirror.ask(routing, request, answer)

    def streamed(self, endpoint: str, request: Request, response: Response, begun: float) -> AsyncIterator[bytes]:
        """The body of a streamed answer, to be sent in place of its own."""
        body = cast("AsyncIterator[bytes]", response.body)
        routing = self._watched(endpoint)
        if routing is None:
            return body

        def ended(whole: bytes) -> None:
            self._saw(routing, request, Response(response.status, response.headers, whole), begun)

        return cast("AsyncIterator[bytes]", Kept(body, self._most, ended))

    def _watched(self, endpoint: str) -> Routing | None:
        routing = self._routes.get(endpoint)
        return routing if routing is not None and (routing.capture or routing.shadow) else None

    def _saw(self, routing: Routing, request: Request, response: Response, begun: float) -> None:
        assert isinstance(response.body, bytes)
        variant = next((value.decode() for name, value in response.headers if name == _INVOKED_VARIANT), "")
        if self._captures.wants(routing):
            exchange = Exchange(variant, time.time(), request.headers, request.body, response.headers, response.body)
            self._captures.take(routing, exchange)
        if routing.shadow is not None:
            self._mirror.ask(routing, request, Answer(variant, response, time.monotonic() - begun))


class Kept:
    """A streamed body that is kept while it passes; `ended` gets it whole, unless it breaks off or is too large."""

    def __init__(self, parts: AsyncIterator[bytes], most: int, ended: Callable[[bytes], None]) -> None:
        self._parts = parts
        self._left = most
        self._ended = ended
        self._kept: list[bytes] = []

    def __aiter__(self) -> Kept:
        return self

    async def __anext__(self) -> bytes:
        try:
            part = await anext(self._parts)
        except StopAsyncIteration:
            if self._left >= 0:
                self._ended(b"".join(self._kept))
            raise
        self._left -= len(part)
        if self._left >= 0:
            self._kept.append(part)
        else:
            self._kept.clear()
        return part

    async def aclose(self) -> None:
        """Nobody reads any more."""
        await close_body(self._parts)
