"""One request to /pipeline, from its query to its answer; counted for Prometheus and told to the terminal."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from seaproof.errors import RequestError
from seaproof.gateway import asking, failures, replies
from seaproof.gateway.asking import Asked
from seaproof.gateway.failures import NotThere
from seaproof.gateway.loading import Load, LoadFailed
from seaproof.gateway.passage import Came, Passage
from seaproof.gateway.passing import Going, Passing
from seaproof.gateway.seats import Seat
from seaproof.http.client import Client
from seaproof.http.later import Later
from seaproof.http.message import Request, Response
from seaproof.invocations.chain import StepFailed, Trace
from seaproof.invocations.metrics import Metrics

_FAILURES = (NotThere, LoadFailed, StepFailed)
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
    quiet: bool = False
    """Only what failed is reported."""


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


@dataclass(frozen=True, slots=True)
class Setting:
    """What all requests to one gateway have in common."""

    chain: tuple[Seat, ...]
    client: Client
    timeout: float
    manner: Manner
    metrics: Metrics
    report: Callable[[Report], None]


class Answering:
    """One request. Nothing that it makes points back to it, so that all of it is freed with its answer."""

    __slots__ = ("_asked", "_begun", "_passage", "_query", "_setting")

    def __init__(self, setting: Setting, request: Request) -> None:
        self._begun = time.monotonic()
        self._setting = setting
        self._query = request.query
        self._passage = Passage(setting.chain, setting.client, setting.timeout, setting.manner.hazal_headers)

    def begin(self, request: Request) -> Response | Later | Awaitable[Response]:
        """The answer, or the promise of one."""
        setting, passage = self._setting, self._passage
        try:
            asked = asking.read(request, setting.chain, setting.manner.replies, setting.manner.hazal_headers)
        except RequestError as error:
            return self._refuse(error)
        self._asked: Asked = asked
        steps = passage.begin(asked, request) if request.stream is None else None
        if steps is None:
            return self._go(lambda listener: passage.go(asked, request, listener))
        return Passing(passage, steps, self._finish, self._go).begin()

    async def _go(self, going: Going) -> Response:
        """What is still to come of the request, in a task."""
        try:
            came = await going(self)
            return came if isinstance(came, Response) else self._finish(came)
        except _FAILURES as error:
            response, text = await self._explain(error)
            self._tell(response.status, error.trace if isinstance(error, StepFailed) else None, text)
            return response
        except RequestError as error:
            return self._refuse(error)

    def _finish(self, came: Came) -> Response:
        """The answer made of the last reply, which is there."""
        reply, trace = came
        asked, loads = self._asked, self._passage.loads
        seconds = time.monotonic() - self._begun
        self._setting.metrics.count(*_PIPELINE, trace, seconds, None)
        if asked.trace:
            response = replies.traced(trace, loads, seconds)
        else:
            response = replies.every(trace) if asked.replies == asking.ALL else replies.last(reply)
        self._tell(response.status, trace)
        return response

    def ended(self, came: Came) -> None:
        """The last reply was passed on while it came, and has ended."""
        reply, trace = came
        self._setting.metrics.count(*_PIPELINE, trace, time.monotonic() - self._begun, None)
        self._tell(reply.status, trace)

    async def broken(self, error: Exception) -> Exception:
        """It broke off: what is raised where it is read."""
        if not isinstance(error, StepFailed):
            return error
        response, text = await self._explain(error)
        self._tell(response.status, error.trace, f"{_BROKEN_OFF}\n{text}")
        return RequestError(response.status, str(error))

    async def _explain(self, error: NotThere | LoadFailed | StepFailed) -> failures.Explained:
        """What the caller is told of a request that failed, and the terminal."""
        setting, begun = self._setting, self._begun
        if isinstance(error, StepFailed):
            setting.metrics.count(*_PIPELINE, error.trace, time.monotonic() - begun, error)
            return await failures.of_step(setting.client, error, setting.chain[error.number], begun)
        setting.metrics.refused(*_PIPELINE, error.seat.name, error.status)
        if isinstance(error, NotThere):
            return await failures.of_container(setting.client, error, begun)
        return await failures.of_load(setting.client, error, setting.chain, setting.manner.hazal, begun)

    def _refuse(self, error: RequestError) -> Response:
        """Nothing of it went to a container, or not all of it came."""
        self._tell(error.status, None, str(error))
        return failures.refusal(error.status, error.what, error.next_step)

    def _tell(self, status: int, trace: Trace | None, problem: str = "") -> None:
        if self._setting.manner.quiet and not problem:
            return
        steps = tuple([(step.name, step.status, step.total) for step in trace.steps]) if trace else ()
        seconds = time.monotonic() - self._begun
        self._setting.report(Report(self._query, status, seconds, steps, tuple(self._passage.loads), problem))
