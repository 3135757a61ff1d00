"""Models of multi-model containers: loaded before any container is invoked, unloaded where others need their room.

What is done is that of endpoints (`invocations.loading`): one load for all who wait, 507 unloads the least recently
used and tries again. Here the models lie in the container already, under the names that callers use. 200 and 409 are
loaded; every other answer to POST /models is a failure, and its reason is told. Source: developer guide, "Build your
own container for multi-model endpoints".
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from seaproof.contract.http import CONTENT_TYPE, MODELS
from seaproof.errors import HttpError, SeaproofError
from seaproof.gateway.seats import Place, Seat
from seaproof.http.client import Client
from seaproof.invocations import target_model
from seaproof.invocations.chain import HEAD_BYTES, Call, Exchange, Reply
from seaproof.invocations.counters import Tally
from seaproof.invocations.diagnosis import Evidence
from seaproof.invocations.loading import Loader, Options
from seaproof.invocations.models import Model, Outcome
from seaproof.invocations.models_api import ALREADY_LOADED, LOADED, NO_MEMORY, ModelsApi

SECONDS = 360.0
"""For one load; the platform waits as long."""
_HEADERS = [(CONTENT_TYPE.encode(), b"application/json")]
_MOST = 1024 * 1024
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Load:
    """One model that was waited for. Time in seconds."""

    container: str
    model: str
    status: int
    """200; 409 where the container had it already."""
    seconds: float


class LoadFailed(SeaproofError):
    """A container could not load a model: another answer than 200 or 409, or none."""

    def __init__(self, seat: Seat, place: Place, model: str, seconds: float, outcome: Reply | HttpError):
        self.seat, self.place, self.model, self.seconds = seat, place, model, seconds
        self.reply = None if isinstance(outcome, HttpError) else outcome
        self.error = outcome if isinstance(outcome, HttpError) else None
        self.status = self.reply.status if self.reply else 0
        what = self.error.what if self.error else f"it answered {self.status}"
        super().__init__(f"container {seat.name} did not load the model {model!r}: {what}")

    def evidence(self, number: int) -> Evidence:
        """What is known of it, without log and end; `number` is that of the step, from 1."""
        headers = dict(self.reply.headers) if self.reply else {}
        body = self.reply.body if self.reply else b""
        sent = _load_body(self.place, self.model)
        return Evidence(
            step=self.seat.name,
            number=number,
            where=f"{self.place.host}:{self.place.port}",
            target=MODELS,
            kind=self.error.kind if self.error else "status",
            what=self.error.what if self.error else "",
            sent_type="application/json",
            sent_bytes=len(sent),
            sent=sent[:HEAD_BYTES],
            status=self.status,
            reply_type=headers.get(b"content-type", b"").decode("latin-1"),
            reply_bytes=len(body),
            reply=body[:HEAD_BYTES],
            server=headers.get(b"server", b"").decode("latin-1"),
            seconds=self.seconds,
            timeout=SECONDS,
        )


@dataclass(slots=True)
class Loaded:
    """The models of one start of a container."""

    start: str
    loader: Loader
    tally: Tally
    hopeless: set[str] = field(default_factory=set)
    """What the container answered 507 to although it held nothing else: there is no such model, or it is too large."""


@dataclass(frozen=True, slots=True)
class _Inside:
    """The shelf (see `loading.Shelf`) of models that lie in the container already, under their own names."""

    models: str
    there: list[str]

    def name(self, target: str) -> str:
        return target

    def url(self, name: str) -> str:
        return f"{self.models}/{name}/model"

    def held(self) -> list[tuple[str, str, int]]:
        return [(name, name, 0) for name in self.there]

    def missing(self, target: str, name: str) -> int | None:
        return None

    def fetch(self, target: str, name: str, check: Callable[[], None]) -> int:
        return 0

    def remove(self, name: str) -> None:
        """They are not ours."""


@dataclass(slots=True)
class Asking:
    """The models of one step for one request; see `models.TargetModels`. Notes what was waited for in `loads`."""

    seat: Seat
    place: Place
    loaded: Loaded
    loads: list[Load]
    patience: float = SECONDS
    _begun: float = 0.0

    def enter(self, target: str) -> Model:
        """See TargetModels."""
        self._begun = time.monotonic()
        return self.loaded.loader.enter(target)

    def used(self, model: Model, *, hit: bool) -> None:
        """See TargetModels."""
        if not hit:
            self.note(model)
        mine = self.seat.name, model.name
        waited = self.loads and any((load.container, load.model) == mine for load in self.loads)
        self.loaded.loader.used(model, hit=not waited)

    def lost(self, model: Model) -> None:
        """See TargetModels."""
        self.loaded.loader.lost(model)

    def leave(self, model: Model) -> None:
        """See TargetModels."""
        self.loaded.loader.leave(model)

    def note(self, model: Model) -> None:
        """This request has waited for the model."""
        status = ALREADY_LOADED if model.ready.result().was_loaded else LOADED
        self.loads.append(Load(self.seat.name, model.name, status, time.monotonic() - self._begun))

    def failed(self, model: Model, outcome: Outcome) -> Exception:
        """What a load that failed ends the request with."""
        error = outcome.refusal or outcome.error
        assert error is not None
        if not isinstance(error, HttpError) and isinstance(error, Exception):
            return error
        if outcome.refusal is not None and outcome.refusal.status == NO_MEMORY:
            if len(self.loaded.hopeless) >= _REMEMBERED:
                self.loaded.hopeless.clear()
            self.loaded.hopeless.add(model.name)
        return LoadFailed(self.seat, self.place, model.name, time.monotonic() - self._begun, error)

    def invoke(self, model: str, call: Call) -> Exchange:
        """One invocation of the model, which is loaded where it has gone meanwhile; a 404 is answered by one load and
        one more try. LoadFailed."""
        return target_model.exchange(self, model, call, self.failed)


def load_call(place: Place, model: str) -> Call:
    """POST /models for this model, whose files the container has below its folder of models."""
    return Call(place.host, place.port, _HEADERS, _load_body(place, model), SECONDS, _MOST, target=MODELS)


def _load_body(place: Place, model: str) -> bytes:
    return json.dumps({"model_name": model, "url": f"{place.models}/{model}/model"}).encode()


async def models_of(client: Client, seat: Seat, place: Place) -> Loaded:
    """What the present start of the container holds, those included that it held before anybody asked here."""
    if seat.loaded is not None and seat.loaded.start == place.start:
        return seat.loaded
    if seat.listing is None or seat.listing[0] != place.start:
        seat.listing = (place.start, asyncio.ensure_future(_listed(client, seat, place)))
    return await asyncio.shield(seat.listing[1])


async def _listed(client: Client, seat: Seat, place: Place) -> Loaded:
    api, tally = ModelsApi(place.host, place.port, _request_of(client)), Tally()

    def make() -> Loaded:
        try:
            there = api.names()
        except HttpError:
            there = []  # the load will say what is wrong
        return Loaded(place.start, Loader(api, _Inside(place.models, there), tally, Options(SECONDS, SECONDS)), tally)

    made = await asyncio.get_running_loop().run_in_executor(None, make)
    if seat.place is not None and seat.place.start == place.start:  # else it has been restarted meanwhile
        if seat.loaded is not None:
            seat.loaded.loader.close()
        seat.loaded = made
    return made


async def ensure_loaded(client: Client, asking: Asking, model: str) -> None:
    """Have the model loaded. Requests that want the same model wait for one load. LoadFailed."""
    loader = asking.loaded.loader
    if loader.has(model):
        return
    if model in asking.loaded.hopeless:
        await _try_plainly(client, asking, model)
    entered = asking.enter(model)
    try:
        if not entered.ready.done():
            # A caller that goes away ends its own wait, not the load that others wait for.
            await asyncio.wait([asyncio.wrap_future(entered.ready)])
        outcome = entered.ready.result()
        if outcome.error or outcome.refusal:
            raise asking.failed(entered, outcome)
        asking.note(entered)
    finally:
        asking.leave(entered)


async def _try_plainly(client: Client, asking: Asking, model: str) -> None:
    """Ask for a model that did not fit into an empty container, and unload no others for it. LoadFailed."""
    call, begun = load_call(asking.place, model), time.monotonic()
    try:
        reply: Any = await client.request(
            call.host, call.port, "POST", call.target, call.headers, call.body, timeout=SECONDS, max_body=_MOST
        )
    except HttpError as error:
        raise LoadFailed(asking.seat, asking.place, model, time.monotonic() - begun, error) from error
    if reply.status not in (LOADED, ALREADY_LOADED):
        raise LoadFailed(asking.seat, asking.place, model, time.monotonic() - begun, reply)
    asking.loaded.hopeless.discard(model)


def _request_of(client: Client) -> Any:
    """The client as threads use it (see `models_api.Request`)."""
    loop = asyncio.get_running_loop()

    def request(
        host: str, port: int, method: str, target: str, *, headers: Any = (), body: bytes = b"", timeout: float
    ) -> Reply:
        asked = client.request(host, port, method, target, headers, body, timeout=timeout, max_body=_MOST)
        return asyncio.run_coroutine_threadsafe(asked, loop).result()

    return request
