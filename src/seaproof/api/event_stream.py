"""The messages of InvokeEndpointWithResponseStream. Source: the shape ResponseStream of the API model."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

from seaproof.api.event_frames import message
from seaproof.errors import ServiceError
from seaproof.http.outbound import close_body
from seaproof.invocations import answers

CONTENT_TYPE = b"application/vnd.amazon.eventstream"
PART_BYTES = 1024 * 1024
"""Of one PayloadPart at most; the size of a message is limited, and parts mean nothing."""


def payload_parts(data: bytes) -> Iterator[bytes]:
    """The data as one PayloadPart, or as several where it is large."""
    for start in range(0, len(data), PART_BYTES):
        headers = {
            ":event-type": "PayloadPart",
            ":content-type": "application/octet-stream",
            ":message-type": "event",
        }
        yield message(headers, data[start : start + PART_BYTES])


def stream_error(error: ServiceError) -> bytes:
    """What ends a stream before its time: ModelStreamError where the container did, else InternalStreamFailure."""
    members = {"Message": error.message}
    kind = "InternalStreamFailure"
    if error.code == "ModelError":
        kind = "ModelStreamError"
        timed_out = error.members.get("ErrorCode") == answers.TIMEOUT
        members["ErrorCode"] = "ModelInvocationTimeExceeded" if timed_out else "StreamBroken"
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return message(headers, json.dumps(members).encode())


class Encoded:
    """A body of parts as messages. What the parts raise becomes the last of them."""

    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self._parts = parts
        self._ended = False

    def __aiter__(self) -> Encoded:
        return self

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        try:
            return b"".join(payload_parts(await anext(self._parts)))
        except ServiceError as error:
            self._ended = True
            return stream_error(error)
        except Exception as error:
            if isinstance(error, StopAsyncIteration):
                raise
            self._ended = True
            return stream_error(ServiceError("InternalFailure", f"seaproof failed: {error!r}", status=500))

    async def aclose(self) -> None:
        """Nobody reads any more."""
        await close_body(self._parts)
