"""The client without HTTP: the same methods as `client.Client`, on a plane of this process, with the same errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from seaproof.api import next_steps, operations, wire
from seaproof.api.client import Invocation, all_pages, seconds
from seaproof.contract import http as contract
from seaproof.control import logs
from seaproof.control.plane import Plane
from seaproof.errors import ServiceError
from seaproof.http.message import Request
from seaproof.invocations import flow


class InProcess:
    """A client of one plane; usable from any thread but one that runs an event loop."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """One operation of SageMaker; what it is given and gives is no part of what is stored."""
        copied = json.loads(json.dumps(request, default=seconds))
        return operations.run(self._plane, operation, copied)

    def pages(self, operation: str, request: Mapping[str, Any], member: str) -> list[dict[str, Any]]:
        """All that a List operation has, page after page."""
        return all_pages(self.call, operation, request, member)

    def invoke(
        self,
        endpoint: str,
        body: bytes,
        *,
        content_type: str | None = None,
        accept: str | None = None,
        target_variant: str | None = None,
        target_model: str | None = None,
        custom_attributes: str | None = None,
    ) -> Invocation:
        """InvokeEndpoint. Raises ServiceError; a container's own error is code ModelError, with its members."""
        members = {
            "ContentType": content_type,
            "Accept": accept,
            "TargetVariant": target_variant,
            "TargetModel": target_model,
            "CustomAttributes": custom_attributes,
        }
        headers = [(name.lower(), value) for name, value in wire.runtime_headers(members)]
        request = Request("POST", f"/endpoints/{quote(endpoint)}/invocations", "", headers, body)
        plane = self._plane
        try:
            answer = plane.sender.invoke(flow.invocation(plane.fleets.routes, endpoint, request, plane.settings))
        except ServiceError as error:
            next_steps.add_to_invocation(plane, endpoint, error)
            raise
        assert isinstance(answer.body, bytes)
        given = {name.lower().decode(): value.decode("latin-1") for name, value in answer.headers}
        return Invocation(
            answer.body,
            given.get(contract.CONTENT_TYPE.lower(), ""),
            given.get(contract.INVOKED_VARIANT.lower(), ""),
            given.get(contract.CUSTOM_ATTRIBUTES.lower(), ""),
        )

    def log_streams(self, group: str, owner: str) -> list[str]:
        """The log streams of one job (`TrainingJobs`) or endpoint (`Endpoints`), oldest first."""
        return logs.streams(self._plane, group, owner) or []

    def logs(self, group: str, stream: str, offset: int) -> tuple[bytes, int]:
        """What a log stream holds from byte `offset` on (at most 1 MiB), and the offset after it."""
        piece = logs.read(self._plane, group, stream, offset)
        if piece is None:
            raise ServiceError("InternalFailure", f"there is no log stream {stream!r} in {group!r}", status=404)
        return piece, offset + len(piece)

    def events(self, kind: str, name: str) -> list[dict[str, Any]]:
        """The history of a record: objects with time, type and message."""
        return [{"time": event.time, **event.event} for event in self._plane.store.events(kind, name)]
