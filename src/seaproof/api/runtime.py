"""The runtime's operations.

POST /endpoints/{name}/invocations                    InvokeEndpoint, on the event loop
POST /endpoints/{name}/invocations-response-stream    InvokeEndpointWithResponseStream, on the event loop
POST /endpoints/{name}/async-invocations              InvokeEndpointAsync, accepted in a thread
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from seaproof.api import next_steps, runtime_headers, spec, validate, wire
from seaproof.api.event_stream import CONTENT_TYPE, Encoded
from seaproof.api.watchers import Watchers
from seaproof.contract.http import FAILURE_LOCATION, OUTPUT_LOCATION, STREAM_CONTENT_TYPE
from seaproof.control import async_invocations
from seaproof.control.async_invocations import Accepted
from seaproof.control.async_notices import Publish
from seaproof.control.async_queue import AsyncQueue
from seaproof.control.outcomes import Outcomes
from seaproof.control.plane import Plane
from seaproof.errors import ServiceError
from seaproof.http.client import Client
from seaproof.http.later import Later
from seaproof.http.message import Headers, Request, Response
from seaproof.invocations import flow, send, streaming, terms
from seaproof.invocations.passing import Passing

PREFIX = "/endpoints/"
ROUTES = {
    "invocations": "_invoke",
    "invocations-response-stream": "_stream",
    "async-invocations": "_invoke_async",
}
"""The last part of an operation's path -> the method of `Runtime` that answers it."""
ASYNC_THREADS = 4
_ASYNC = "InvokeEndpointAsync"
_STREAMED_TYPE = STREAM_CONTENT_TYPE.encode()


class Runtime:
    """Answers what is asked of endpoints; lives on the coordinator's event loop."""

    def __init__(self, plane: Plane, outcomes: Outcomes, publish: Publish) -> None:
        self._plane = plane
        self._routes = plane.fleets.routes
        self._outcomes = outcomes
        self._client: Client = send.new_client()
        self._terms = terms.real_time(plane.settings)
        self._watchers = Watchers(plane, self._client, outcomes)
        self._queue = AsyncQueue(plane, outcomes.take, publish)
        self._queue.recover()
        outcomes.metrics.backlog = self._queue.backlog
        self._threads = ThreadPoolExecutor(ASYNC_THREADS, thread_name_prefix="async-accept")
        self._operations: dict[str, Callable[[str, Request], Response | Later | Awaitable[Response]]] = {
            ending: getattr(self, method) for ending, method in ROUTES.items()
        }

    async def close(self) -> None:
        """Give up on shadows, put the queue to rest, close the connections to containers."""
        self._queue.rest()
        self._threads.shutdown()
        await self._watchers.close()
        await self._client.close()

    def handle(self, request: Request) -> Response | Later | Awaitable[Response] | None:
        """One request whose path begins with `/endpoints/`; None where the path is none of an operation here."""
        endpoint, _, ending = request.path[len(PREFIX) :].rpartition("/")
        operation = self._operations.get(ending)
        if operation is None or not endpoint:
            return None
        if request.method != "POST":
            return wire.not_allowed(request, "POST")
        return operation(endpoint, request)

    def takes_stream(self, request: Request) -> bool:
        """Whether the body of this request, whose path begins with `/endpoints/`, is passed on while it comes."""
        if request.body:
            return False  # it came in one piece
        endpoint, _, ending = request.path[len(PREFIX) :].rpartition("/")
        if ROUTES.get(ending) != "_invoke" or self._watchers.needs(endpoint):
            return False
        return flow.takes_stream(self._plane.fleets.routes, endpoint, request)

    def _invoke(self, endpoint: str, request: Request) -> Response | Later:
        plane, begun = self._plane, time.monotonic()

        def finish(came: Response | ServiceError) -> Response:
            if isinstance(came, ServiceError):
                self._watchers.failed(endpoint, request, came, begun)
                return self._refusal(endpoint, came)
            self._watchers.answered(endpoint, request, came, begun)
            return came

        try:
            runtime_headers.check(request.headers)
        except ServiceError as error:
            return self._refusal(endpoint, error)
        steps = flow.invocation(
            self._routes, endpoint, request, plane.settings, terms=self._terms, report=self._outcomes.take
        )
        return Passing(self._client, steps, finish).begin()

    async def _stream(self, endpoint: str, request: Request) -> Response:
        plane, begun = self._plane, time.monotonic()
        request = wire.as_invocation(request, "InvokeEndpointWithResponseStream")
        try:
            runtime_headers.check(request.headers)
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

    async def _invoke_async(self, endpoint: str, request: Request) -> Response:
        loop = asyncio.get_running_loop()
        try:
            members = wire.runtime_members(request, _ASYNC)
            accepted = await loop.run_in_executor(self._threads, self._accept, endpoint, members)
        except ServiceError as error:
            return self._refusal(endpoint, error)
        places = {OUTPUT_LOCATION: accepted.output, FAILURE_LOCATION: accepted.failure}
        headers = [(name.encode(), where.encode()) for name, where in places.items() if where]
        return wire.plain(202, {"InferenceId": accepted.inference_id}, *headers)

    def _accept(self, endpoint: str, members: dict[str, Any]) -> Accepted:
        given = {name: value for name, value in members.items() if value != b""}
        try:
            checked = validate.check(_ASYNC, {"EndpointName": endpoint, **given}, spec.RUNTIME)
        except ServiceError as error:
            raise ServiceError("ValidationError", error.message) from error
        accepted = async_invocations.accept(self._plane, endpoint, checked)
        self._queue.put(accepted)
        return accepted

    def _refusal(self, endpoint: str, error: ServiceError) -> Response:
        return wire.runtime_error(next_steps.add_to_invocation(self._plane, endpoint, error))


def _stream_headers(headers: Headers) -> Headers:
    """The container's type goes into a header of its own: the body of the answer is messages."""
    named = [(_STREAMED_TYPE if name == b"Content-Type" else name, value) for name, value in headers]
    return [(b"Content-Type", CONTENT_TYPE), *named]
