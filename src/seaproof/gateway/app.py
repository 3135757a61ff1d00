"""The gateway's four paths, answered on the HTTP protocol itself, whatever happens.

POST /pipeline    ?model=NAME, ?replies=last|all, ?trace=1
GET  /ping        200 when every container answers its own
GET  /metrics     counts and times of every step, for Prometheus
GET  /            what runs here, and how to call it; a page where a browser asks
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from seaproof.contract.http import METRICS, PING
from seaproof.gateway import asking, failures, replies
from seaproof.gateway.answering import Answering, Manner, Report, Setting
from seaproof.gateway.seats import Seat
from seaproof.http.client import Client
from seaproof.http.later import Later
from seaproof.http.message import Headers, Request, Response
from seaproof.invocations.counters import as_json
from seaproof.invocations.hop_body import LARGE
from seaproof.invocations.metrics import Metrics
from seaproof.invocations.send import ping
from seaproof.settings import Settings

__all__ = ["Gateway", "Manner", "Report"]

Page = Callable[[Mapping[str, Any]], str]
"""An HTML document of what GET / tells."""
_HTML: Headers = [(b"Content-Type", b"text/html; charset=utf-8")]
_METHODS = {"/pipeline": ("POST",), PING: ("GET", "HEAD"), METRICS: ("GET", "HEAD"), "/": ("GET", "HEAD")}


class Gateway:
    """Answers requests; its `handle` is what `http.server.serve` is given. Of one event loop."""

    def __init__(
        self,
        chain: Sequence[Seat],
        client: Client,
        settings: Settings,
        manner: Manner,
        report: Callable[[Report], None] = lambda report: None,
        page: Page | None = None,
    ) -> None:
        self._drawn = page
        self._chain, self._client, self._settings, self._manner = tuple(chain), client, settings, manner
        self._metrics = Metrics()
        self._setting = Setting(self._chain, client, settings.invocation_timeout, manner, self._metrics, report)

    def handle(self, request: Request) -> Response | Later | Awaitable[Response]:
        """The answer to one request."""
        if request.path == "/pipeline" and request.method == "POST":
            return Answering(self._setting, request).begin(request)
        methods = _METHODS.get(request.path)
        if methods is None:
            there = ", ".join(f"{methods[0]} {path}" for path, methods in _METHODS.items())
            return failures.refusal(404, f"there is nothing at {request.path}", there)
        if request.method not in methods:
            allowed = [(b"Allow", ", ".join(methods).encode())]
            what = f"{request.path} does not take {request.method}"
            return failures.refusal(405, what, f"Use {methods[0]}.", allowed)
        if request.path == METRICS:
            return self._metrics.response()
        return self._ping() if request.path == PING else self._page(request)

    def close(self) -> None:
        """No models are loaded any more; who waits for one is told."""
        for seat in self._chain:
            if seat.loaded is not None:
                seat.loaded.loader.close()

    def takes_stream(self, request: Request) -> bool:
        """Whether the body of this request comes while it is passed on: it is large, or nobody knows."""
        if request.body or request.path != "/pipeline" or request.method != "POST":
            return False  # a body that is there came in one piece
        return int(request.header(b"content-length") or LARGE + 1) > LARGE

    async def _ping(self) -> Response:
        """200 when all containers answer their ping with 200, else 503; which is which in either case."""
        seats = list(dict.fromkeys(self._chain))
        found = await asyncio.gather(*(self._ping_one(seat) for seat in seats))
        healthy = all(status == "200" for status in found)
        containers = {seat.name: status for seat, status in zip(seats, found, strict=True)}
        body = {"status": "ok" if healthy else "not ready", "containers": containers}
        return Response(200 if healthy else 503, replies.JSON, json.dumps(body).encode() + b"\n")

    async def _ping_one(self, seat: Seat) -> str:
        place = seat.place
        if place is None:
            return seat.problem
        return str(await ping(self._client, place.host, place.port, self._settings.profile.ping_timeout.value))

    def _page(self, request: Request) -> Response:
        host = request.header(b"host", "localhost:9001")
        many = any(seat.container.multi for seat in self._chain)
        query = "?model=NAME" if many else ""
        usual = {self._manner.replies: " (the default here)"}
        body = {
            "what": "a serial inference pipeline: each container's reply is the next one's request",
            "configuration": self._manner.about,
            "containers": [_described(seat) for seat in self._chain],
            "call": {
                f"POST /pipeline{query}": f"curl '{host}/pipeline{query}' --data-binary @FILE "
                "-H 'Content-Type: text/csv'",
                "?replies=all": f"the replies of all containers in one JSON object{usual.get(asking.ALL, '')}",
                "?replies=last": f"the reply of the last container as it is{usual.get(asking.LAST, '')}",
                "?trace=1": "what each container was sent, gave and took",
                "GET /metrics": "counts and times of every step, for Prometheus",
                "GET /ping": "200 when every container answers",
            },
        }
        if self._drawn and "text/html" in request.header(b"accept"):
            return Response(200, _HTML, self._drawn(body).encode())
        return Response(200, replies.JSON, json.dumps(body, indent=2).encode() + b"\n")


def _described(seat: Seat) -> dict[str, Any]:
    place = seat.place
    shown: dict[str, Any] = {"name": seat.name, "type": "multi" if seat.container.multi else "single"}
    if place:
        shown |= {"address": f"{place.host}:{place.port}", "how": place.how}
    else:
        shown["problem"] = seat.problem
    if seat.container.multi:
        loaded = seat.loaded if place and seat.loaded and seat.loaded.start == place.start else None
        shown["loaded"] = sorted(loaded.loader.loaded()) if loaded else []
        shown["models"] = {name: as_json(counts) for name, counts in loaded.tally.snapshot().items()} if loaded else {}
    return shown
