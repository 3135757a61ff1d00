"""Shadow variants: what a production variant answered is asked of its shadow, after its caller has been answered."""

from __future__ import annotations

import asyncio
import random
import time

from seaproof.contract.http import TARGET_VARIANT
from seaproof.control.captures import Captures
from seaproof.control.outcomes import Outcomes
from seaproof.control.plane import Plane
from seaproof.control.shadows import Answer, Pair, Shadows
from seaproof.errors import ServiceError
from seaproof.http.client import Client
from seaproof.http.message import Request, Response
from seaproof.invocations import flow, send
from seaproof.invocations.capture import Exchange
from seaproof.invocations.routing import Routing

MOST_AT_ONCE = 64
"""Requests that shadows work on; while there are so many, no more are mirrored, and counted as missed."""
_TARGET_VARIANT = TARGET_VARIANT.lower().encode()


class Mirror:
    """Asks shadows; lives on the coordinator's event loop."""

    def __init__(self, plane: Plane, client: Client, outcomes: Outcomes, captures: Captures) -> None:
        self._plane = plane
        self._client = client
        self._outcomes = outcomes
        self._captures = captures
        self._shadows = Shadows(plane)
        self._under_way: set[asyncio.Task[None]] = set()

    def ask(self, routing: Routing, request: Request, answered: Answer) -> None:
        """Have the shadow answer the same request, if its share has it so. Returns at once."""
        shadow = routing.shadow
        if shadow is None or random.random() >= shadow.share:
            return
        if len(self._under_way) >= MOST_AT_ONCE:
            self._shadows.miss(routing.endpoint)
            return
        task = asyncio.ensure_future(self._ask(routing, request, answered))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Give up on what is under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _ask(self, routing: Routing, request: Request, answered: Answer) -> None:
        assert routing.shadow is not None
        begun = time.monotonic()
        headers = [pair for pair in request.headers if pair[0] != _TARGET_VARIANT]
        mirrored = Request(request.method, request.path, headers=headers, body=request.body)
        plane, routes = self._plane, routing.shadow.routes
        try:
            steps = flow.invocation(routes, routing.endpoint, mirrored, plane.settings, report=self._outcomes.take)
            response = await send.invoke(self._client, steps)
        except ServiceError as error:
            response = as_answered(error)
        else:
            assert isinstance(response.body, bytes)
            if self._captures.wants(routing):
                who, now = routing.shadow.variant, time.time()
                exchange = Exchange(who, now, request.headers, request.body, response.headers, response.body)
                self._captures.take(routing, exchange)
        shadow = Answer(routing.shadow.variant, response, time.monotonic() - begun)
        self._shadows.take(Pair(routing.endpoint, time.time(), answered, shadow))


def as_answered(error: ServiceError) -> Response:
    """What the container itself answered, as far as the error knows it."""
    status = error.members.get("OriginalStatusCode") or error.status
    return Response(int(status), [], str(error.members.get("OriginalMessage", error.message)).encode())
