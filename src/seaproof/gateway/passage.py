"""One request on its way: each container's place, the models first, then the chain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

from seaproof.contract.http import INVOCATIONS, TARGET_MODEL
from seaproof.errors import HttpError
from seaproof.gateway import asking, loading
from seaproof.gateway.asking import Asked
from seaproof.gateway.failures import NotThere
from seaproof.gateway.loading import Load, Loaded
from seaproof.gateway.seats import Place, Seat
from seaproof.http.client import Client
from seaproof.http.message import Headers, Request
from seaproof.invocations.chain import Call, Chain, Exchange, Reply, Step, StepFailed, Trace, Wait, chain
from seaproof.invocations.target_model import invoke_path
from seaproof.invocations.tracing import Span

LARGEST = 100 * 1024 * 1024
"""Bytes of a body, of a request or a reply."""

Came = tuple[Reply, Trace]
"""Of a chain that came to its end."""

_TARGET_MODEL = TARGET_MODEL.encode()


@dataclass(slots=True)
class Passage:
    """One request through the pipeline."""

    seats: tuple[Seat, ...]
    client: Client
    timeout: float
    """Seconds for all containers together; loads have their own time."""
    hazal_headers: bool = False
    loads: list[Load] = field(default_factory=list)
    """The loads that this request waited for."""
    places: list[Place] = field(default_factory=list)
    loaded: dict[int, Loaded] = field(default_factory=dict)
    """The models of the multi-model containers, by the number of the step, from 0."""

    def begin(self, asked: Asked, request: Request) -> Chain | None:
        """The chain where nothing stands before its first call: no container to look for, no model to load."""
        for number, (seat, model) in enumerate(zip(self.seats, asked.models, strict=True)):
            place, loaded = seat.place, seat.loaded
            if place is None or self.hazal_headers:
                return None
            if model:
                if loaded is None or loaded.start != place.start or not loaded.loader.has(model):
                    return None
                self.loaded[number] = loaded
            self.places.append(place)
        return self._chain(asked, request)

    async def go(self, asked: Asked, request: Request) -> Came:
        """The last reply, and the trace. NotThere, LoadFailed, StepFailed."""
        self.places.clear()
        for number, seat in enumerate(self.seats, 1):
            if seat.place is None:
                await _look(seat)
            if seat.place is None:
                raise NotThere(number, seat)
            self.places.append(seat.place)
        for number, (seat, place, model) in enumerate(zip(self.seats, self.places, asked.models, strict=True)):
            if model:
                loaded = self.loaded[number] = await loading.models_of(self.client, seat, place)
                await loading.ensure_loaded(self.client, loading.Asking(seat, place, loaded, self.loads), model)
        steps = self._chain(asked, request)
        return await self.go_on(steps, next(steps))

    async def go_on(self, steps: Chain, call: Call | Wait, error: HttpError | None = None) -> Came:
        """As `go`, from this call on, which has met the error if there is one."""
        try:
            reply, trace = await self._drive(steps, call, error)
        except StepFailed as failed:
            self._correct(failed.trace)
            raise
        self._correct(trace)
        return reply, trace

    def _chain(self, asked: Asked, request: Request) -> Chain:
        span = Span.given(request.headers)
        # The request lives until it is answered; its body is let go with the first step.
        body, request.body = request.body, b""
        return chain(
            [self._step(number, model) for number, model in enumerate(asked.models)],
            asked.headers,
            body,
            deadline=time.monotonic() + self.timeout,
            hop_limit=LARGEST,
            reply_limit=LARGEST,
            span=span or (Span.new() if asked.trace else None),
            keep_replies=asked.trace or asked.replies == asking.ALL,
        )

    def _step(self, number: int, model: str) -> Step:
        seat, place = self.seats[number], self.places[number]
        if not model and not self.hazal_headers:
            return _plain_step(seat.name, place)
        exchange: Callable[[Call], Exchange] | None = None
        target, headers = INVOCATIONS, Headers()
        if model:
            target = invoke_path(model)
            exchange = partial(loading.Asking(seat, place, self.loaded[number], self.loads).invoke, model)
            if model.isascii():
                headers.append((_TARGET_MODEL, model.encode()))
        if self.hazal_headers:
            exchange = partial(_with_form, exchange)
        return Step(seat.name, place.host, place.port, target, tuple(headers), exchange)

    def _correct(self, trace: Trace) -> None:
        """With hazal's headers, every step was sent that one type."""
        for step in trace.steps if self.hazal_headers else ():
            step.sent_type = asking.FORM.decode()

    async def _drive(self, steps: Chain, call: Call | Wait, met: HttpError | None) -> Came:
        """As `send.drive`; and a container that moved (a restart gives another port) is followed: nothing was sent."""
        try:
            while True:
                if isinstance(call, Wait):
                    await asyncio.wait([asyncio.wrap_future(call.future)], timeout=call.seconds)
                    call = steps.send(None)
                    continue
                try:
                    try:
                        if met is not None:
                            raise met
                        reply = await self._request(call, call.host, call.port, call.timeout)
                    except HttpError as error:
                        if error.kind != "refused":
                            raise
                        met = None
                        reply = await self._followed(call, error)
                except HttpError as error:
                    met = None
                    call = steps.throw(error)
                else:
                    call = steps.send(reply)
        except StopIteration as end:
            result: Came = end.value
            return result
        finally:
            steps.close()

    async def _followed(self, call: Call, error: HttpError) -> Reply:
        """The reply of a container that is no longer where it was; else the error."""
        begun = time.monotonic()
        number = [place.peer for place in self.places].index((call.host, call.port))
        await _look(self.seats[number])
        place, left = self.seats[number].place, call.timeout - (time.monotonic() - begun)
        if place is None or place.peer == (call.host, call.port) or left <= 0:
            raise error
        return await self._request(call, place.host, place.port, left)

    def _request(self, call: Call, host: str, port: int, timeout: float) -> Coroutine[Any, Any, Reply]:
        return self.client.request(
            host,
            port,
            call.method,
            call.target,
            call.headers,
            call.body,
            timeout=timeout,
            max_body=call.max_body,
            # What killed one container is not sent to the next.
            resend=False,
        )


@lru_cache(256)
def _plain_step(name: str, place: Place) -> Step:
    """Of a single-model container: the same for every request."""
    return Step(name, place.host, place.port)


async def _look(seat: Seat) -> None:
    if seat.keeper is not None:
        await asyncio.get_running_loop().run_in_executor(None, seat.keeper.look)


def _with_form(inner: Callable[[Call], Exchange] | None, call: Call) -> Exchange:
    """hazal's one content type, whatever the body is."""
    others = [pair for pair in call.headers if pair[0].lower() not in (b"content-type", b"accept")]
    call = replace(call, headers=[(b"Content-Type", asking.FORM), *others])
    if inner is None:
        reply: Reply = yield call
        return reply
    return (yield from inner(call))
