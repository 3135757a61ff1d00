"""Clients of the local server: what the command line uses, and any program that wants no AWS SDK.

The same calls, with the same request dictionaries, as boto3 would send; errors are ServiceError as the service
words them. Standard library only, because a command must start at once.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from seaproof.contract import http as contract
from seaproof.errors import HttpError, SeaproofError, ServiceError

STATE_FILE = "coordinator.json"
OWNED = "another coordinator owns this project"
"""What a coordinator says, and ends, where another one lives."""
TARGET_PREFIX = "SageMaker."
TOKEN_HEADER = "X-Seaproof-Token"
NEXT_STEP = "seaproofNextStep"
"""Member of an error's body beside those of the service: what the reader can do."""
TIMEOUT_SECONDS = 130.0
STREAM_SECONDS = 500.0
"""Longer than a container may take for a streamed reply."""
FIND_SECONDS = 5.0
"""Whatever listens at a stale address may never answer."""


MEMBERS = {
    "content_type": contract.CONTENT_TYPE,
    "accept": contract.ACCEPT,
    "target_variant": contract.TARGET_VARIANT,
    "target_model": contract.TARGET_MODEL,
    "target_container": contract.TARGET_CONTAINER,
    "custom_attributes": contract.CUSTOM_ATTRIBUTES,
    "inference_id": contract.INFERENCE_ID,
    "session_id": contract.SESSION_ID,
    "input_location": contract.INPUT_LOCATION,
}
"""What an invocation may be given besides its body, and the header of InvokeEndpoint that has it."""


@dataclass(frozen=True)
class Invocation:
    """What InvokeEndpoint answered."""

    body: bytes
    content_type: str
    variant: str
    custom_attributes: str = ""
    new_session: str = ""
    """`<id>; Expires=<time>` of a session that this opened."""
    closed_session: str = ""
    """The id of a session that this closed."""


class Hold:
    """A coordinator that is held; see `Client.hold`."""

    def __init__(self, connection: http.client.HTTPConnection, reply: http.client.HTTPResponse) -> None:
        self._connection, self._reply = connection, reply

    def __enter__(self) -> Hold:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go; twice is fine."""
        self._reply.close()
        self._connection.close()


class Client:
    """A client of one local server. Any thread may use it; each has a connection of its own."""

    def __init__(self, url: str, timeout: float = TIMEOUT_SECONDS, token: str = "") -> None:
        """`token` is what a server asks for that others can reach; `find` knows it."""
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._always = {TOKEN_HEADER: token} if token else {}
        parts = urlsplit(self.url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._local = threading.local()
        self._connections: set[http.client.HTTPConnection] = set()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of all threads; a later call opens new ones."""
        while self._connections:
            self._connections.pop().close()

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """One operation of SageMaker, such as `call("CreateModel", {...})`; times are seconds since the epoch."""
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": TARGET_PREFIX + operation}
        status, _, body = self._send("POST", "/", json.dumps(request, default=seconds).encode(), headers)
        answer: dict[str, Any] = json.loads(body) if body else {}
        if status != 200:
            code = str(answer.pop("__type", "InternalFailure"))
            message = str(answer.pop("message", body.decode("utf-8", "replace")))
            next_step = str(answer.pop(NEXT_STEP, ""))
            raise ServiceError(code, message, status=status, members=answer, next_step=next_step)
        return answer

    def pages(self, operation: str, request: Mapping[str, Any], member: str) -> list[dict[str, Any]]:
        """All that a List operation has, page after page."""
        return all_pages(self.call, operation, request, member)

    def invoke(self, endpoint: str, body: bytes, **members: str | None) -> Invocation:
        """InvokeEndpoint. Raises ServiceError; a container's own error is code ModelError, with its members.

        `members` are those of the request, named as in `MEMBERS`; None for what is not given.
        """
        headers = {MEMBERS[name]: value for name, value in members.items() if value is not None}
        status, answered, reply = self._send("POST", f"/endpoints/{quote(endpoint)}/invocations", body, headers)
        if status != 200:
            raise _refusal(status, answered, reply)
        return Invocation(
            reply,
            answered.get("content-type", ""),
            answered.get(contract.INVOKED_VARIANT.lower(), ""),
            answered.get(contract.CUSTOM_ATTRIBUTES.lower(), ""),
            answered.get(contract.NEW_SESSION_ID.lower(), ""),
            answered.get(contract.CLOSED_SESSION_ID.lower(), ""),
        )

    def stream(self, endpoint: str, body: bytes, **members: str | None) -> Iterator[bytes]:
        """InvokeEndpointWithResponseStream: the parts as they come. ServiceError also where the stream breaks off."""
        from seaproof.api.event_frames import messages

        headers = {_streamed(MEMBERS[name]): value for name, value in members.items() if value is not None}
        connection = http.client.HTTPConnection(*self._address, timeout=STREAM_SECONDS)
        try:
            connection.request("POST", f"/endpoints/{quote(endpoint)}/invocations-response-stream", body, headers)
            reply = connection.getresponse()
            if reply.status != 200:
                answered = {name.lower(): value for name, value in reply.getheaders()}
                raise _refusal(reply.status, answered, reply.read())
            data = bytearray()
            while piece := reply.read1(64 * 1024):
                data += piece
                for about, payload in messages(data):
                    if ":exception-type" in about:
                        told = _json_object(payload)
                        raise ServiceError(about[":exception-type"], str(told.pop("Message", "")), members=told)
                    yield payload
        except (OSError, http.client.HTTPException) as error:
            raise HttpError("closed", f"the stream broke off: {error}", where=self.url) from error
        finally:
            connection.close()

    def invoke_async(self, endpoint: str, body: bytes = b"", **members: str | None) -> dict[str, str]:
        """InvokeEndpointAsync: InferenceId, OutputLocation, and FailureLocation where failures are written."""
        headers = {_asynchronous(MEMBERS[name]): value for name, value in members.items() if value is not None}
        status, answered, reply = self._send("POST", f"/endpoints/{quote(endpoint)}/async-invocations", body, headers)
        if status != 202:
            raise _refusal(status, answered, reply)
        places = {"OutputLocation": contract.OUTPUT_LOCATION, "FailureLocation": contract.FAILURE_LOCATION}
        found = {name: answered.get(header.lower(), "") for name, header in places.items()}
        return {**_json_object(reply), **{name: where for name, where in found.items() if where}}

    def health(self) -> dict[str, Any]:
        """The server about itself: url, pid, driver, version, state."""
        return self._own("GET", "health")

    def log_streams(self, group: str, owner: str) -> list[str]:
        """The log streams of one job (`TrainingJobs`) or endpoint (`Endpoints`), oldest first."""
        streams: list[str] = self._own("GET", "log-streams", group=group, owner=owner)["streams"]
        return streams

    def logs(self, group: str, stream: str, offset: int) -> tuple[bytes, int]:
        """What a log stream holds from byte `offset` on (at most 1 MiB), and the offset after it.

        A negative offset counts from the end of what is there now; the offset after it then means nothing.
        """
        query = urlencode({"group": group, "stream": stream, "offset": offset})
        status, _, body = self._send("GET", f"/_seaproof/logs?{query}", b"", {})
        if status != 200:
            raise ServiceError("InternalFailure", body.decode("utf-8", "replace"), status=status)
        return body, offset + len(body)

    def events(self, kind: str, name: str) -> list[dict[str, Any]]:
        """The history of a record: objects with time, type and message."""
        events: list[dict[str, Any]] = self._own("GET", "events", kind=kind, name=name)["events"]
        return events

    def hold(self, endpoint: str | None = None) -> Hold:
        """Keep the server from ending by itself until the hold is closed, or this process ends, however it does.

        With `endpoint`, that endpoint is deleted then. HttpError or ServiceError where the server is ending.
        """
        query = "?" + urlencode({"endpoint": endpoint}) if endpoint else ""
        connection = http.client.HTTPConnection(*self._address, timeout=self._timeout)
        try:
            connection.request("GET", f"/_seaproof/hold{query}", headers=self._always)
            reply = connection.getresponse()
            if reply.status == 200 and reply.readline() == b"held\n":
                return Hold(connection, reply)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise HttpError("closed", f"the local server cannot be held: {error}", where=self.url) from error
        connection.close()
        raise ServiceError("InternalFailure", "the local server is ending", status=503)

    def stay(self) -> None:
        """Ask the server to stay until told to end, and to start the endpoints again that were put to rest."""
        self._own("POST", "stay")

    def models(self) -> list[dict[str, Any]]:
        """The models of all multi-model endpoints that run, most used first; see `control.multi_model.listing`."""
        models: list[dict[str, Any]] = self._own("GET", "models")["models"]
        return models

    def shadows(self, endpoint: str) -> dict[str, Any]:
        """What the shadow variant of an endpoint answered so far; see `control.shadows.summary`."""
        return self._own("GET", "shadows", endpoint=endpoint)

    def metrics(self) -> str:
        """Counts and times of invocations, as Prometheus reads them."""
        return self._send("GET", "/metrics", b"", {})[2].decode()

    def shutdown(self) -> None:
        """Ask the server to end; it answers before it does."""
        self._own("POST", "shutdown")

    def _own(self, method: str, route: str, **query: str) -> dict[str, Any]:
        target = f"/_seaproof/{route}" + (f"?{urlencode(query)}" if query else "")
        status, _, body = self._send(method, target, b"", {})
        if status != 200:
            raise ServiceError("InternalFailure", body.decode("utf-8", "replace"), status=status)
        return _json_object(body)

    def _send(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        """One exchange on this thread's connection. One that the server closed while it was idle is made anew."""
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        try:
            if kept is not None:
                try:
                    self._connections.add(kept)
                    return self._exchange(kept, method, target, body, headers)
                except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                    pass
            connection = http.client.HTTPConnection(*self._address, timeout=self._timeout)
            self._local.connection = connection
            self._connections.add(connection)
            return self._exchange(connection, method, target, body, headers)
        except ValueError as error:  # a line break in a header
            raise SeaproofError(f"the request cannot be sent: {error}", where=f"{method} {target}") from error
        except (OSError, http.client.HTTPException) as error:
            kind = "timeout" if isinstance(error, TimeoutError) else "refused"
            raise HttpError(
                kind,
                f"the local server does not answer: {error or type(error).__name__}",
                where=self.url,
                next_step="`seaproof up` starts it; .seaproof/coordinator.log has what it said last.",
            ) from error

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        """Forget a connection that is of no more use."""
        self._local.connection = None
        self._connections.discard(connection)
        connection.close()

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, target: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        try:
            connection.request(method, target, body=body, headers={**headers, **self._always})
            reply = connection.getresponse()
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
        except BaseException:
            # Also after Ctrl-C: what was asked and not read would be in the way of the next call, which stops the job.
            self._drop(connection)
            raise


def find(state: Path) -> Client | None:
    """The coordinator that lives for this state folder, or None; one that died left a file that nobody answers for."""
    try:
        said = _json_object((state / STATE_FILE).read_bytes())
        token = str(said.get("token", ""))
        with Client(str(said["url"]), FIND_SECONDS, token) as client:
            return Client(client.url, token=token) if client.health()["state"] == str(state) else None
    except (FileNotFoundError, ValueError, KeyError, HttpError, ServiceError):
        return None


def all_pages(
    call: Callable[[str, Mapping[str, Any]], dict[str, Any]], operation: str, request: Mapping[str, Any], member: str
) -> list[dict[str, Any]]:
    """What all pages of a List operation hold under `member`."""
    found: list[dict[str, Any]] = []
    token: dict[str, str] = {}
    while True:
        answer = call(operation, {**request, **token})
        found += answer[member]
        if "NextToken" not in answer:
            return found
        token = {"NextToken": answer["NextToken"]}


def _streamed(header: str) -> str:
    """The header as InvokeEndpointWithResponseStream names it."""
    return contract.LATER_ACCEPT if header == contract.ACCEPT else header


def _asynchronous(header: str) -> str:
    """The header as InvokeEndpointAsync names it."""
    return contract.STREAM_CONTENT_TYPE if header == contract.CONTENT_TYPE else _streamed(header)


def _refusal(status: int, answered: Mapping[str, str], reply: bytes) -> ServiceError:
    """The error that the runtime answered."""
    members = _json_object(reply)
    message = str(members.pop("Message", members.pop("message", reply.decode("utf-8", "replace"))))
    code = answered.get(contract.ERROR_TYPE.lower(), "InternalFailure")
    next_step = str(members.pop(NEXT_STEP, ""))
    return ServiceError(code, message, status=status, members=members, next_step=next_step)


def seconds(value: object) -> float:
    """A time as the wire has it, seconds since the epoch; for `json.dumps(..., default=seconds)`."""
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
