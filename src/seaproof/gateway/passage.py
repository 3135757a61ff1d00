"""One request on its way: each container's place, the models first, then the chain.

What is large goes from hop to hop, and to the caller, while it comes, unless the caller wants every reply.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from seaproof.contract.http import INVOCATIONS, TARGET_MODEL
from seaproof.errors import HttpError
from seaproof.gateway import asking, loading, replies
from seaproof.gateway.asking import Asked
from seaproof.gateway.failures import NotThere
from seaproof.gateway.loading import Load, Loaded
from seaproof.gateway.seats import Place, Seat
from seaproof.http import reply as http_reply
from seaproof.http.client import Client, StreamedReply
from seaproof.http.message import Headers, Request, Response
from seaproof.invocations import send
from seaproof.invocations.chain import Call, Chain, Exchange, Reply, Step, StepFailed, Trace, Wait, chain
from seaproof.invocations.hop_body import LARGE, HopBody, held
from seaproof.invocations.streaming import pass_on
from seaproof.invocations.target_model import invoke_path
from seaproof.invocations.tracing import Span

LARGEST = 100 * 1024 * 1024
"""Bytes of a body, of a request or a reply."""

Came = tuple[Reply, Trace]
"""Of a chain that came to its end."""

_TARGET_MODEL = TARGET_MODEL.encode()


class Listener(Protocol):
    """Told of a last reply that is passed on while it comes."""

    def ended(self, came: Came) -> None:
        """All of it came."""

    async def broken(self, error: Exception) -> Exception:
        """It broke off; what is to be raised where it is read."""
        ...


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
    sent: HopBody | None = None
    """The caller's body, where it is passed on while it comes."""
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
        body, request.body = request.body, b""
        return self._chain(asked, request, body)

    async def go(self, asked: Asked, request: Request, listener: Listener) -> Came | Response:
        """The last reply, and the trace; or the answer that passes it on. NotThere, LoadFailed, StepFailed."""
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
        body: bytes | HopBody
        body, request.body = request.body, b""
        if request.stream is not None:
            length = request.header(b"content-length")
            body = await held(request.stream, int(length) if length else None)
            self.sent = body if isinstance(body, HopBody) else None
        steps = self._chain(asked, request, body)
        return await self.go_on(steps, next(steps), None, listener)

    async def go_on(
        self, steps: Chain, call: Call | Wait, met: HttpError | StreamedReply | None, listener: Listener
    ) -> Came | Response:
        """As `go`, from this call on, which has met an error or a reply that has begun if there is one."""
        try:
            came = await self._drive(steps, call, met, listener)
        except StepFailed as failed:
            self._correct(failed.trace)
            raise
        if not isinstance(came, Response):
            self._correct(came[1])
        return came

    def _chain(self, asked: Asked, request: Request, body: bytes | HopBody) -> Chain:
        """The request lives until it is answered; its body, which is given apart, is let go with the first step."""
        span = Span.given(request.headers)
        keeps = asked.trace or asked.replies == asking.ALL
        return chain(
            [self._step(number, model) for number, model in enumerate(asked.models)],
            asked.headers,
            body,
            deadline=time.monotonic() + self.timeout,
            hop_limit=LARGEST,
            reply_limit=LARGEST,
            span=span or (Span.new() if asked.trace else None),
            keep_replies=keeps,
            opened=None if keeps else replies.begun,
            opened_over=LARGE,
        )

    def _step(self, number: int, model: str) -> Step:
        seat, place = self.seats[number], self.places[number]
        if not model and not self.hazal_headers:
            step = seat.step
            if step is None or step.port != place.port or step.host != place.host:  # it moves just now
                return Step(seat.name, place.host, place.port)
            return step
        exchange: Callable[[Call], Exchange] | None = None
        target, headers = INVOCATIONS, Headers()
        if model:
            target = invoke_path(model)
            exchange = partial(loading.Asking(seat, place, self.loaded[number], self.loads).invoke, model)
            if model.isascii():
                headers.append((_TARGET_MODEL, model.encode()))
        if self.hazal_headers:
            exchange = partial(_with_form, exchange)
        return Step(seat.name, place.host, place.port, target, tuple(headers), exchange, answers_whole=model != "")

    def _correct(self, trace: Trace) -> None:
        """With hazal's headers, every step was sent that one type."""
        for step in trace.steps if self.hazal_headers else ():
            step.sent_type = asking.FORM.decode()

    async def _drive(
        self, steps: Chain, call: Call | Wait, met: HttpError | StreamedReply | None, listener: Listener
    ) -> Came | Response:
        """As `send.drive`; and a container that moved (a restart gives another port) is followed: nothing was sent."""
        try:
            while True:
                if isinstance(call, Wait):
                    await asyncio.wait([asyncio.wrap_future(call.future)], timeout=call.seconds)
                    call = steps.send(None)
                    continue
                try:
                    reply, met = await self._reply(call, met), None
                    if call.opened is not None and isinstance(reply, StreamedReply):
                        deadline = time.monotonic() + call.timeout
                        ended, broken = partial(self._ended, listener), partial(self._broken, listener)
                        return await pass_on(steps, call, reply, deadline, ended, broken, self._sends)
                except HttpError as error:
                    met = None
                    call = steps.throw(error)
                else:
                    call = steps.send(reply)
        except StopIteration as end:
            result: Came = end.value
            return result
        except BaseException:
            steps.close()
            raise

    def _sends(self) -> bool:
        return self.sent is not None and not self.sent.ended_at

    def _ended(self, listener: Listener, came: Came) -> None:
        self._correct(came[1])
        listener.ended(came)

    async def _broken(self, listener: Listener, error: Exception) -> Exception:
        if isinstance(error, StepFailed):
            self._correct(error.trace)
        return await listener.broken(error)

    async def _reply(self, call: Call, met: HttpError | StreamedReply | None) -> http_reply.Reply | StreamedReply:
        """What comes of this call, or has come of it; HttpError."""
        if isinstance(met, StreamedReply):
            return met
        try:
            if met is not None:
                raise met
            return await self._request(call, call.host, call.port, call.timeout)
        except HttpError as error:
            if error.kind != "refused":
                raise
            return await self._followed(call, error)

    async def _followed(self, call: Call, error: HttpError) -> http_reply.Reply | StreamedReply:
        """The reply of a container that is no longer where it was; else the error."""
        begun = time.monotonic()
        number = [place.peer for place in self.places].index((call.host, call.port))
        await _look(self.seats[number])
        place, left = self.seats[number].place, call.timeout - (time.monotonic() - begun)
        if place is None or place.peer == (call.host, call.port) or left <= 0:
            raise error
        return await self._request(call, place.host, place.port, left)

    async def _request(self, call: Call, host: str, port: int, timeout: float) -> http_reply.Reply | StreamedReply:
        return await send.request(self.client, replace(call, host=host, port=port, timeout=timeout))


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
