"""InvokeEndpointAsync: a request is put on record and answered at once; `async_queue` does the rest.

A record of kind `async-invocation` is there from the answer on until output or failure have been written, so that
whatever kills the coordinator, every accepted request is answered: at least once, as on the platform.
"""

from __future__ import annotations

import base64
import time
import uuid
from dataclasses import dataclass
from typing import Any

from seaproof.contract.http import ACCEPT, CONTENT_TYPE, CUSTOM_ATTRIBUTES, INFERENCE_ID
from seaproof.control.containers import KIND as ENDPOINT
from seaproof.control.plane import Plane
from seaproof.control.store import Body, Record
from seaproof.errors import ServiceError, StorageError
from seaproof.http.message import Headers
from seaproof.invocations import answers
from seaproof.storage.storage import parse_address

KIND = "async-invocation"
TTL_SECONDS = 21_600
"""Source: API model, RequestTTLSeconds."""
TIMEOUT_SECONDS = 900
"""Source: API model, InvocationTimeoutSeconds."""
PER_INSTANCE = 4
"""MaxConcurrentInvocationsPerInstance where none is given; the platform chooses one, and does not say which."""
_HEADERS = {
    "ContentType": CONTENT_TYPE,
    "Accept": ACCEPT,
    "CustomAttributes": CUSTOM_ATTRIBUTES,
    "InferenceId": INFERENCE_ID,
}


@dataclass(frozen=True)
class Accepted:
    """One request that was accepted. Times in seconds since the epoch."""

    id: str
    endpoint: str
    inference_id: str
    members: dict[str, Any]
    """Of the request, without its body."""
    body: bytes | None
    """Where it came with the request."""
    output: str
    failure: str
    """"" where failures are not wanted."""
    received: float
    expires: float
    timeout: float
    """Seconds that the containers may take."""

    @property
    def headers(self) -> Headers:
        """What the container is told."""
        given = {**self.members, "InferenceId": self.inference_id}
        return [
            (header.lower().encode(), str(given[member]).encode("latin-1"))
            for member, header in _HEADERS.items()
            if given.get(member)
        ]


def accept(plane: Plane, endpoint: str, members: Body) -> Accepted:
    """Put one request on record. `members` are those of the API, held to its model already; `Body` as bytes.

    ServiceError (ValidationError) where the endpoint is not there or is not asynchronous, or the input is none.
    """
    record = plane.store.get(ENDPOINT, endpoint)
    if record is None or plane.fleets.routes.get(endpoint) is None:
        raise answers.endpoint_not_found(plane.settings, endpoint)
    config = record.body["_plan"].get("async")
    if config is None:
        raise answers.wrong_kind(endpoint, asynchronous=False)
    body: bytes = members.get("Body") or b""
    if bool(body) == ("InputLocation" in members):
        raise ServiceError(
            "ValidationError",
            "InvokeEndpointAsync takes its input from InputLocation or from Body: "
            + ("both are given." if body else "neither is given."),
        )
    now, id = time.time(), str(uuid.uuid4())
    accepted = Accepted(
        id=id,
        endpoint=endpoint,
        inference_id=members.get("InferenceId") or str(uuid.uuid4()),
        members={name: value for name, value in members.items() if name != "Body"},
        body=body or None,
        output=_output(config, members, id),
        failure=_below(config["OutputConfig"].get("S3FailurePath", ""), f"{id}-error.out"),
        received=now,
        expires=now + members.get("RequestTTLSeconds", TTL_SECONDS),
        timeout=float(members.get("InvocationTimeoutSeconds", TIMEOUT_SECONDS)),
    )
    for uri in filter(None, (members.get("InputLocation"), accepted.output, accepted.failure)):
        _check_address(uri)
    plane.store.insert(KIND, id, "", "", _stored(accepted))
    return accepted


def read(record: Record) -> Accepted:
    """What `accept` put on record."""
    body = dict(record.body)
    inline = body.pop("inline")
    return Accepted(id=record.name, body=base64.b64decode(inline) if inline else None, **body)


def _stored(accepted: Accepted) -> Body:
    kept = {key: value for key, value in vars(accepted).items() if key not in ("id", "body")}
    return {**kept, "inline": base64.b64encode(accepted.body).decode() if accepted.body else ""}


def _output(config: Body, members: Body, id: str) -> str:
    """`<S3OutputPath>/<S3OutputPathExtension>/<Filename>`, the last two where given."""
    where = config["OutputConfig"].get("S3OutputPath") or f"s3://seaproof/async/{members['EndpointName']}"
    if members.get("S3OutputPathExtension"):
        where = _below(where, members["S3OutputPathExtension"].strip("/"))
    return _below(where, members.get("Filename") or f"{id}.out")


def _below(prefix: str, name: str) -> str:
    return f"{prefix.rstrip('/')}/{name}" if prefix else ""


def _check_address(uri: str) -> None:
    """ServiceError where this cannot be an object."""
    try:
        key = parse_address(uri).key
    except StorageError as error:
        raise ServiceError("ValidationError", f"{error.what} {error.next_step}") from error
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise ServiceError("ValidationError", f"{uri!r} names no object: its key has an empty, '.' or '..' segment.")
