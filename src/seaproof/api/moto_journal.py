"""What was changed in moto, on disk: the calls themselves, made again when moto is next imported.

moto keeps everything in memory. Each call that changes something is a line of `.seaproof/moto.jsonl`, written before
it is answered, so that whoever got an answer finds it again whatever ended the server:

    {"time": seconds, "seed": n, "service", "method", "path", "query", "headers": [[name, value]], "body": base64}

moto makes ids from a generator of its own and times from one function: with the seed and the time of the call, both
come out as they did. What is passed on and forgotten, such as a message that is published, is not a change.
"""

from __future__ import annotations

import base64
import datetime
import importlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from seaproof.http.message import Headers, Request

Answer = tuple[int, Headers, bytes]
Send = Callable[[str, Request], int]
"""Have moto answer a request for a service; the status."""

_PASSING = (
    *("Assume", "Batch", "Check", "Decode", "Describe", "Estimate", "Filter", "Generate", "Get", "Invoke", "List"),
    *("Lookup", "Poll", "Preview", "Publish", "Query", "Receive", "Scan", "Search", "Select", "Send", "Simulate"),
    *("Test", "Validate", "Verify"),
    # Messages in queues come and go.
    *("ChangeMessageVisibility", "DeleteMessage"),
)
_KEPT = ("content-type", "x-amz-target", "authorization", "smithy-protocol")
_SIGNATURE = re.compile(r"Signature=[0-9a-f]+")

log = logging.getLogger("seaproof.api")


class Journal:
    """The journal of one project; used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def replay(self, send: Send) -> None:
        """Make all calls again. One that moto refuses by now is told of, and passed over."""
        for number, line in enumerate(self._lines(), 1):
            try:
                entry = json.loads(line)
                request = Request(
                    entry["method"],
                    entry["path"],
                    entry["query"],
                    [(name.encode(), value.encode("latin-1")) for name, value in entry["headers"]],
                    base64.b64decode(entry["body"]),
                )
                with _as_it_is(entry["seed"], entry["time"]):
                    status = send(entry["service"], request)
                if status >= 400:
                    log.warning("%s, line %d: moto answers %d to what it took before", self._path, number, status)
            except Exception as error:
                log.warning("%s, line %d cannot be done again: %r", self._path, number, error)

    def send(self, service: str, request: Request, send: Callable[[], Answer]) -> Answer:
        """Have a call answered, and keep it if it changed something."""
        if not is_change(request):
            return send()
        seed, now = int.from_bytes(os.urandom(8), "big"), time.time()
        with _as_it_is(seed, now):
            answer = send()
        if answer[0] < 400:
            self._keep(service, request, seed, now)
        return answer

    def _keep(self, service: str, request: Request, seed: int, now: float) -> None:
        headers = [
            [name.decode("latin-1"), _SIGNATURE.sub("Signature=0", value.decode("latin-1"))]
            for name, value in request.headers
            if name.decode("latin-1") in _KEPT
        ]
        entry = {
            "time": now,
            "seed": seed,
            "service": service,
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": headers,
            "body": base64.b64encode(request.body).decode(),
        }
        # Whoever may read it learns what the policies and the keys of this moto are.
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(descriptor)

    def _lines(self) -> list[bytes]:
        """The lines that are whole; what a kill left of another is cut off, so that the next begins at its own."""
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):
            os.truncate(self._path, len(whole))
        return whole.splitlines()


def is_change(request: Request) -> bool:
    """Whether what a call does is there after it: by the name of its operation, or where it has none by its method."""
    name = request.header(b"x-amz-target").rpartition(".")[2] or request.path.partition("/operation/")[2]
    if not name:
        form = dict(parse_qsl(request.body.decode("latin-1"))) if request.method == "POST" else {}
        name = form.get("Action") or dict(parse_qsl(request.query)).get("Action", "")
    if not name:
        return request.method not in ("GET", "HEAD", "OPTIONS")
    return not name.startswith(_PASSING)


@contextmanager
def _as_it_is(seed: int, moment: float) -> Iterator[None]:
    """moto's ids and times are those of this moment, and will be if the call is made again."""
    utils: Any = importlib.import_module("moto.core.utils")

    class Moment(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Moment:
            return cls.fromtimestamp(moment, tz)

        @classmethod
        def utcnow(cls) -> Moment:
            return cls.fromtimestamp(moment, datetime.timezone.utc).replace(tzinfo=None)

    class Module:
        """`datetime` as moto's one function for the time has it."""

        def __getattr__(self, name: str) -> Any:
            return Moment if name == "datetime" else getattr(datetime, name)

    _random().seed(seed)
    utils.datetime = Module()
    try:
        yield
    finally:
        utils.datetime = datetime


def _random() -> Any:
    from moto.moto_api._internal import mock_random

    return mock_random
