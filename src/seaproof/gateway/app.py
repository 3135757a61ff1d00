"""The gateway's four paths, answered on the HTTP protocol itself, whatever happens.

POST /pipeline    ?model=NAME, ?replies=last|all, ?trace=1
GET  /ping        200 when every container answers its own
GET  /metrics     counts and times of every step, for Prometheus
GET  /            what runs here, and how to call it
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from seaproof.contract.http import METRICS, PING
from seaproof.errors import RequestError
from seaproof.gateway import asking, failures, replies
from seaproof.gateway.failures import NotThere
from seaproof.gateway.loading import Load, LoadFailed
from seaproof.gateway.passage import Came, Passage
from seaproof.gateway.passing import Going, Passing
from seaproof.gateway.seats import Seat
from seaproof.http.client import Client
from seaproof.http.later import Later
from seaproof.http.message import Request, Response
from seaproof.invocations.chain import Reply, StepFailed, Trace
from seaproof.invocations.counters import as_json
from seaproof.invocations.hop_body import LARGE
from seaproof.invocations.metrics import Metrics
from seaproof.invocations.send import ping
from seaproof.settings import Settings

_FAILURES = (NotThere, LoadFailed, StepFailed)
_METHODS = {"/pipeline": ("POST",), PING: ("GET", "HEAD"), METRICS: ("GET", "HEAD"), "/": ("GET", "HEAD")}
_PIPELINE = ("pipeline", "AllTraffic")
"""Endpoint and variant of its metrics."""
_BROKEN_OFF = "The last container's reply had begun to go to the caller, and was broken off."


@dataclass(frozen=True, slots=True)
class Manner:
    """How a gateway answers; the rest is the same for all."""

    about: str
    """Where its configuration stands."""
    replies: str = asking.LAST
    """What a request gets that does not say."""
    hazal: bool = False
    """Models that are not found are told in hazal's words."""
    hazal_headers: bool = False
    """Every container is sent hazal's one content type."""


@dataclass(slots=True)
class Report:
    """One request to /pipeline and what became of it, for the terminal. Times in seconds."""

    query: str
    status: int
    seconds: float
    steps: tuple[tuple[str, int, float], ...] = ()
    """Name, status, seconds."""
    loads: tuple[Load, ...] = ()
    problem: str = ""


class Gateway:
    """Answers requests; its `handle` is what `http.server.serve` is given. Of one event loop."""

    def __init__(
        self,
        chain: Sequence[Seat],
        client: Client,
        settings: Settings,
        manner: Manner,
        report: Callable[[Report], None] = lambda report: None,
    ) -> None:
        self._chain, self._client, self._settings, self._manner = tuple(chain), client, settings, manner
        self._report = report
        self._metrics = Metrics()

    def handle(self, request: Request) -> Response | Later | Awaitable[Response]:
        """The answer to one request."""
        methods = _METHODS.get(request.path)
        if methods is None:
            there = ", ".join(f"{methods[0]} {path}" for path, methods in _METHODS.items())
            return failures.refusal(404, f"there is nothing at {request.path}", there)
        if request.method not in methods:
            allowed = [(b"Allow", ", ".join(methods).encode())]
            what = f"{request.path} does not take {request.method}"
            return failures.refusal(405, what, f"Use {methods[0]}.", allowed)
        if request.path == "/pipeline":
            return self._pipeline(request)
        if request.path == METRICS:
            return self._metrics.response()
        return self._ping() if request.path == PING else self._page()

    def close(self) -> None:
        """No models are loaded any more; who waits for one is told."""
        for seat in self._chain:
            if seat.loaded is not None:
                seat.loaded.loader.close()

    def takes_stream(self, request: Request) -> bool:
        """Whether the body of this request comes while it is passed on: it is large, or nobody knows."""
        if request.path != "/pipeline" or request.method != "POST":
            return False
        return int(request.header(b"content-length") or LARGE + 1) > LARGE

    def _pipeline(self, request: Request) -> Response | Later | Awaitable[Response]:
        begun, manner = time.monotonic(), self._manner

        def told(status: int, trace: Trace | None, text: str = "") -> None:
            steps = tuple([(step.name, step.status, step.total) for step in trace.steps]) if trace else ()
            seconds = time.monotonic() - begun
            self._report(Report(request.query, status, seconds, steps, tuple(passage.loads), text))

        def count(trace: Trace, failed: StepFailed | None) -> None:
            self._metrics.count(*_PIPELINE, trace, time.monotonic() - begun, failed)

        def ended(came: Came) -> None:
            count(came[1], None)
            told(came[0].status, came[1])

        def finish(came: Came) -> Response:
            count(came[1], None)
            response = _answer(asked, *came, passage.loads, begun)
            told(response.status, came[1])
            return response

        async def explain(error: NotThere | LoadFailed | StepFailed) -> failures.Explained:
            if isinstance(error, StepFailed):
                count(error.trace, error)
            else:
                self._metrics.refused(*_PIPELINE, error.seat.name, error.status)
            return await self._explained(error, begun)

        async def broken(error: Exception) -> Exception:
            if not isinstance(error, StepFailed):
                return error
            response, text = await explain(error)
            told(response.status, error.trace, f"{_BROKEN_OFF}\n{text}")
            return RequestError(response.status, str(error))

        async def go(going: Going) -> Response:
            try:
                came = await going()
                return came if isinstance(came, Response) else finish(came)
            except _FAILURES as error:
                response, text = await explain(error)
                told(response.status, error.trace if isinstance(error, StepFailed) else None, text)
                return response
            except RequestError as error:
                return refuse(error)

        def refuse(error: RequestError) -> Response:
            told(error.status, None, str(error))
            return failures.refusal(error.status, error.what, error.next_step)

        passage = Passage(
            self._chain, self._client, self._settings.invocation_timeout, ended, broken, manner.hazal_headers
        )
        try:
            asked = asking.read(request, self._chain, manner.replies, manner.hazal_headers)
        except RequestError as error:
            return refuse(error)
        steps = passage.begin(asked, request) if request.stream is None else None
        if steps is None:
            return go(lambda: passage.go(asked, request))
        return Passing(passage, steps, finish, go).begin()

    async def _explained(self, error: NotThere | LoadFailed | StepFailed, begun: float) -> failures.Explained:
        """What the caller is told of a request that failed, and the terminal."""
        if isinstance(error, NotThere):
            return await failures.of_container(self._client, error, begun)
        if isinstance(error, LoadFailed):
            return await failures.of_load(self._client, error, self._chain, self._manner.hazal, begun)
        return await failures.of_step(self._client, error, self._chain[error.number], begun)

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

    def _page(self) -> Response:
        many = any(seat.container.multi for seat in self._chain)
        query = "?model=NAME" if many else ""
        usual = {self._manner.replies: " (the default here)"}
        body = {
            "what": "a serial inference pipeline: each container's reply is the next one's request",
            "configuration": self._manner.about,
            "containers": [_described(seat) for seat in self._chain],
            "call": {
                f"POST /pipeline{query}": f"curl 'localhost:9001/pipeline{query}' --data-binary @FILE "
                "-H 'Content-Type: text/csv'",
                "?replies=all": f"the replies of all containers in one JSON object{usual.get(asking.ALL, '')}",
                "?replies=last": f"the reply of the last container as it is{usual.get(asking.LAST, '')}",
                "?trace=1": "what each container was sent, gave and took",
                "GET /metrics": "counts and times of every step, for Prometheus",
                "GET /ping": "200 when every container answers",
            },
        }
        return Response(200, replies.JSON, json.dumps(body, indent=2).encode() + b"\n")


def _answer(asked: asking.Asked, reply: Reply, trace: Trace, loads: Sequence[Load], begun: float) -> Response:
    if asked.trace:
        return replies.traced(trace, loads, time.monotonic() - begun)
    return replies.every(trace) if asked.replies == asking.ALL else replies.last(reply)


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
