"""The wire: how requests, answers and errors of the control plane (AWS JSON 1.1) and the runtime (rest-json) are spelt.

Pure functions between members and bytes. Source: the API models' `protocol` metadata, shapes and error shapes.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from seaproof.api import spec
from seaproof.api.client import NEXT_STEP
from seaproof.api.spec import Shape
from seaproof.contract import http as contract
from seaproof.errors import ServiceError
from seaproof.http.message import Headers, Request, Response
from seaproof.invocations.tracing import TRACEPARENT, TRACESTATE

JSON_1_1 = b"application/x-amz-json-1.1"
TARGET_PREFIX = "SageMaker."


def operation_of(request: Request) -> str | None:
    """The operation that X-Amz-Target names; None where it names none of SageMaker's."""
    target = request.header(b"x-amz-target")
    return target[len(TARGET_PREFIX) :] if target.startswith(TARGET_PREFIX) else None


def read_json(request: Request) -> dict[str, Any]:
    """The request's members. ServiceError where the body is no JSON object."""
    try:
        value = json.loads(request.body) if request.body else {}
    except (ValueError, RecursionError) as error:
        raise ServiceError("SerializationException", f"The request body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ServiceError("SerializationException", "The request body is not a JSON object.")
    return value


def shaped(shape: Shape | None, value: Mapping[str, Any]) -> dict[str, Any]:
    """An answer as JSON 1.1 has it: the members that its output shape knows, blobs as base64, times in seconds.

    Absent means absent: no null, and no empty structure, which strict clients would try to read.
    """
    if shape is None:
        return {}
    answer: dict[str, Any] = {}
    for name, member in shape.members.items():
        given = _shaped(member, value[name]) if value.get(name) is not None else None
        if given is not None and (given != {} or member.type_name == "map" or name in shape.required_members):
            answer[name] = given
    return answer


def _shaped(shape: Shape, value: Any) -> Any:
    kind = shape.type_name
    if kind == "structure":
        return shaped(shape, value)
    if kind == "list":
        return [_shaped(shape.member, member) for member in value if member is not None]
    if kind == "map":
        return {key: _shaped(shape.value, member) for key, member in value.items() if member is not None}
    if kind == "blob" and isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if kind == "timestamp":
        seconds = value.timestamp() if isinstance(value, datetime) else value
        return round(seconds, 3)
    return value


def runtime_members(request: Request, operation: str = "InvokeEndpoint") -> dict[str, Any]:
    """The members that a runtime request has in its headers and body; the endpoint's name is in the path.

    A header that is to be a number and is none stays text.
    """
    shape = spec.input_shape(operation, spec.RUNTIME)
    assert shape is not None
    given = {name.lower(): value for name, value in request.headers}
    members: dict[str, Any] = {}
    for name, member in shape.members.items():
        if member.serialization.get("location") == "header":
            value = given.get(member.serialization["name"].lower().encode())
            if value is not None:
                text = value.decode("latin-1")
                whole = member.type_name == "integer" and text.isascii() and text.isdigit() and len(text) < 10
                members[name] = int(text) if whole else text
        elif name == shape.serialization.get("payload"):
            members[name] = request.body
    return members


def runtime_headers(members: Mapping[str, Any], operation: str = "InvokeEndpoint") -> Headers:
    """The headers that carry these members of a runtime request; the inverse of `runtime_members`."""
    shape = spec.input_shape(operation, spec.RUNTIME)
    assert shape is not None
    return [
        (member.serialization["name"].encode(), str(members[name]).encode("latin-1"))
        for name, member in shape.members.items()
        if member.serialization.get("location") == "header" and members.get(name) is not None
    ]


def as_invocation(request: Request, operation: str) -> Request:
    """A request of another runtime operation as InvokeEndpoint has it: headers differ by operation."""
    named = {name.lower(): value for name, value in runtime_headers(runtime_members(request, operation))}
    traced = [pair for pair in request.headers if pair[0] in (TRACEPARENT, TRACESTATE)]
    return Request(request.method, request.path, headers=[*named.items(), *traced], body=request.body)


def json_answer(body: dict[str, Any]) -> Response:
    """What an operation answers."""
    return Response(200, _headers(JSON_1_1), _dump(body))


def json_error(error: ServiceError) -> Response:
    """An error of the control plane: its code in `__type`, its members beside the message."""
    body = {"__type": error.code, "message": error.message, **error.members, **_next_step(error)}
    return Response(error.status, _headers(JSON_1_1), _dump(body))


def runtime_error(error: ServiceError) -> Response:
    """An error of the runtime: its code in a header, its members (OriginalStatusCode ...) in the body."""
    headers = [*_headers(b"application/json"), (contract.ERROR_TYPE.encode(), error.code.encode())]
    return Response(error.status, headers, _dump({"Message": error.message, **error.members, **_next_step(error)}))


def plain(status: int, body: dict[str, Any], *headers: tuple[bytes, bytes]) -> Response:
    """An answer of the local server's own routes."""
    return Response(status, [(b"Content-Type", b"application/json"), *headers], _dump(body))


def not_allowed(request: Request, allowed: str) -> Response:
    """405: the path is right and the method is not."""
    error = f"{request.path} answers {allowed.replace(', ', ' and ')}, not {request.method}"
    return plain(405, {"error": error}, (b"Allow", allowed.encode()))


def _next_step(error: ServiceError) -> dict[str, str]:
    """A member of ours; SDKs pass over members that they do not know."""
    return {NEXT_STEP: error.next_step} if error.next_step else {}


def _headers(content_type: bytes) -> Headers:
    return [(b"Content-Type", content_type), (contract.REQUEST_ID.encode(), str(uuid.uuid4()).encode())]


def _dump(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
