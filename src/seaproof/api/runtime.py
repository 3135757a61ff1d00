"""The runtime's operations on the event loop: InvokeEndpoint, and InvokeEndpointWithResponseStream.

POST /endpoints/{name}/invocations
POST /endpoints/{name}/invocations-response-stream
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from seaproof.api import next_steps, wire
from seaproof.api.event_stream import CONTENT_TYPE, Encoded
from seaproof.api.watchers import Watchers
from seaproof.contract.http import STREAM_CONTENT_TYPE
from seaproof.control.outcomes import Outcomes
from seaproof.control.plane import Plane
from seaproof.errors import ServiceError
from seaproof.http.client import Client
from seaproof.http.message import Headers, Request, Response
from seaproof.invocations import flow, send, streaming, terms

PREFIX = "/endpoints/"
_STREAMED_TYPE = STREAM_CONTENT_TYPE.encode()


class Runtime:
    """Answers what is asked of endpoints; lives on the coordinator's event loop."""

    def __init__(self, plane: Plane, outcomes: Outcomes) -> None:
        self._plane = plane
        self._outcomes = outcomes
        self._client: Client = send.new_client()
        self._watchers = Watchers(plane, self._client, outcomes)
        self._operations: dict[str, Callable[[str, Request], Awaitable[Response]]] = {
            "invocations": self._invoke,
            "invocations-response-stream": self._stream,
        }

    async def close(self) -> None:
        """Give up on shadows, close the connections to containers."""
        await self._watchers.close()
        await self._client.close()

    def handle(self, request: Request) -> Response | Awaitable[Response] | None:
        """One request whose path begins with `/endpoints/`; None where the path is none of an operation here."""
        endpoint, _, ending = request.path[len(PREFIX) :].rpartition("/")
        operation = self._operations.get(ending)
        if operation is None or not endpoint:
            return None
        if request.method != "POST":
            return wire.not_allowed(request, "POST")
        return operation(endpoint, request)

    async def _invoke(self, endpoint: str, request: Request) -> Response:
        plane, begun = self._plane, time.monotonic()
        try:
            steps = flow.invocation(plane.fleets.routes, endpoint, request, plane.settings, report=self._outcomes.take)
            response = await send.invoke(self._client, steps)
        except ServiceError as error:
            self._watchers.failed(endpoint, request, error, begun)
            return self._refusal(endpoint, error)
        self._watchers.answered(endpoint, request, response, begun)
        return response

    async def _stream(self, endpoint: str, request: Request) -> Response:
        plane, begun = self._plane, time.monotonic()
        request = wire.as_invocation(request, "InvokeEndpointWithResponseStream")
        try:
            steps = flow.invocation(
                plane.fleets.routes,
                endpoint,
                request,
                plane.settings,
                terms=terms.streaming(plane.settings),
                report=self._outcomes.take,
            )
            response = await streaming.open_stream(self._client, steps)
        except ServiceError as error:
            self._watchers.failed(endpoint, request, error, begun)
            return self._refusal(endpoint, error)
        body = self._watchers.streamed(endpoint, request, response, begun)
        return Response(response.status, _stream_headers(response.headers), Encoded(body))

    def _refusal(self, endpoint: str, error: ServiceError) -> Response:
        return wire.runtime_error(next_steps.add_to_invocation(self._plane, endpoint, error))


def _stream_headers(headers: Headers) -> Headers:
    """The container's type goes into a header of its own: the body of the answer is messages."""
    named = [(_STREAMED_TYPE if name == b"Content-Type" else name, value) for name, value in headers]
    return [(b"Content-Type", CONTENT_TYPE), *named]
