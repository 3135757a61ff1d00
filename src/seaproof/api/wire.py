"""The wire: how answers and errors of the control plane (AWS JSON 1.1) and of the runtime (rest-json) are spelt.

Pure functions between records and bytes. Source: the API models' `protocol` metadata and their error shapes.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from seaproof.contract import http as contract
from seaproof.errors import ServiceError
from seaproof.http.message import Headers, Request, Response

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


def json_answer(body: dict[str, Any]) -> Response:
    """What an operation answers."""
    return Response(200, _headers(JSON_1_1), _dump(body))


def json_error(error: ServiceError) -> Response:
    """An error of the control plane: its code in `__type`, its members beside the message."""
    body = {"__type": error.code, "message": error.message, **error.members}
    return Response(error.status, _headers(JSON_1_1), _dump(body))


def runtime_error(error: ServiceError) -> Response:
    """An error of the runtime: its code in a header, its members (OriginalStatusCode ...) in the body."""
    headers = [*_headers(b"application/json"), (contract.ERROR_TYPE.encode(), error.code.encode())]
    return Response(error.status, headers, _dump({"Message": error.message, **error.members}))


def plain(status: int, body: dict[str, Any]) -> Response:
    """An answer of the local server's own routes."""
    return Response(status, [(b"Content-Type", b"application/json")], _dump(body))


def _headers(content_type: bytes) -> Headers:
    return [(b"Content-Type", content_type), (contract.REQUEST_ID.encode(), str(uuid.uuid4()).encode())]


def _dump(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
