"""An endpoint of AWS behind plain HTTP: what comes in is signed and sent on, what comes back is handed back.

    POST /invocations                      InvokeEndpoint
    POST /invocations-response-stream      InvokeEndpointWithResponseStream, part by part
    GET  /ping                             200 when the endpoint is in service

Headers are those of the runtime API (`X-Amzn-SageMaker-Target-Model`, ...), read from its service model.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from seaproof.api import spec
from seaproof.errors import SeaproofError, ServiceError
from seaproof.http.message import Headers, Request, Response
from seaproof.ship import refusals
from seaproof.ship.target import Target

THREADS = 32
"""Requests that are on their way at once."""
INVOKE, STREAM = "/invocations", "/invocations-response-stream"
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


class Proxy:
    """Answers for one endpoint; its `handle` is what `http.server.serve` is given."""

    def __init__(self, target: Target, endpoint: str, token: str = "", told: Callable[[str], None] = print) -> None:
        self._target, self._endpoint, self._token, self._told = target, endpoint, token, told
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="proxy")

    async def handle(self, request: Request) -> Response:
        """The answer to one request; a refusal of AWS is handed on with its status and message."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        work = {("POST", INVOKE): self._invoke, ("POST", STREAM): self._stream, ("GET", "/ping"): self._ping}
        do = work.get((request.method, request.path))
        if do is None:
            return _problem(404, f"there is no {request.method} {request.path}", f"POST {INVOKE}, or GET /ping")
        try:
            response = await asyncio.get_running_loop().run_in_executor(self._threads, do, request)
        except ServiceError as error:
            status = int(error.members.get("OriginalStatusCode") or error.status)
            response = _problem(status, f"{error.code}: {error.message}", error.next_step)
        except SeaproofError as error:
            response = _problem(502, str(error), "")
        self._told(f"{request.method} {request.path}  {response.status}")
        return response

    def _refusal(self, request: Request) -> Response | None:
        """Whoever does not know the token; without one, whoever calls by another name than this machine's."""
        if self._token:
            given = request.header(b"authorization").removeprefix("Bearer ").encode()
            if not hmac.compare_digest(given, self._token.encode()):
                return _problem(401, "this proxy wants its token", "Send it as: Authorization: Bearer TOKEN")
            return None
        name = request.header(b"host").rpartition(":")[0] or request.header(b"host")
        if name not in LOCAL_NAMES or request.header(b"origin"):
            return _problem(403, "this proxy answers programs of this machine only", "--host with --token opens it")
        return None

    def _ping(self, request: Request) -> Response:
        found = self._target.call("sagemaker", "DescribeEndpoint", {"EndpointName": self._endpoint})
        status = str(found["EndpointStatus"])
        return Response(
            200 if status == "InService" else 503, [(b"Content-Type", b"text/plain")], f"{status}\n".encode()
        )

    def _invoke(self, request: Request) -> Response:
        found = self._target.call("sagemaker-runtime", "InvokeEndpoint", self._members("InvokeEndpoint", request))
        with refusals.in_plain_words("sagemaker-runtime", "InvokeEndpoint"):
            body = found["Body"].read()
        return Response(200, _headers("InvokeEndpoint", found), body)

    def _stream(self, request: Request) -> Response:
        operation = "InvokeEndpointWithResponseStream"
        found = self._target.call("sagemaker-runtime", operation, self._members(operation, request))
        parts = _parts(found["Body"])
        return Response(200, _headers(operation, found), _awaited(parts, self._threads))

    def _members(self, operation: str, request: Request) -> dict[str, Any]:
        shape = spec.input_shape(operation, spec.RUNTIME)
        assert shape is not None
        members: dict[str, Any] = {"EndpointName": self._endpoint, "Body": request.body}
        for name, header in _of_headers(shape):
            value = request.header(header.lower().encode())
            if value:
                members[name] = value
        return members


def _of_headers(shape: Any) -> Iterator[tuple[str, str]]:
    """The members of a shape that travel as headers: name of the member, name of the header."""
    for name, member in shape.members.items():
        if member.serialization.get("location") == "header":
            yield name, str(member.serialization["name"])


def _headers(operation: str, answer: dict[str, Any]) -> Headers:
    shape = spec.output_shape(operation, spec.RUNTIME)
    assert shape is not None
    return [(header.encode(), str(answer[name]).encode()) for name, header in _of_headers(shape) if answer.get(name)]


def _parts(events: Any) -> Iterator[bytes]:
    for event in events:
        if "PayloadPart" in event:
            yield bytes(event["PayloadPart"]["Bytes"])
            continue
        raise SeaproofError(f"the stream broke off: {json.dumps(event, default=str)}")


async def _awaited(parts: Iterator[bytes], threads: ThreadPoolExecutor) -> AsyncIterator[bytes]:
    """An iterator whose items take their time, without holding up the event loop."""
    loop = asyncio.get_running_loop()
    while True:
        part = await loop.run_in_executor(threads, next, parts, None)
        if part is None:
            return
        yield part


def _problem(status: int, what: str, next_step: str) -> Response:
    body = json.dumps({"error": what, "next_step": next_step} if next_step else {"error": what})
    return Response(status, [(b"Content-Type", b"application/json")], body.encode() + b"\n")
