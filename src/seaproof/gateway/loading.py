"""Models of multi-model containers: loaded before any container is invoked, once per model and start of a container.

200 and 409 are loaded; every other answer to POST /models is a failure, and its reason is told. Source: developer
guide, "Build your own container for multi-model endpoints".
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Generator
from dataclasses import dataclass
from urllib.parse import quote

from seaproof.contract.http import CONTENT_TYPE, MODELS
from seaproof.errors import HttpError, SeaproofError
from seaproof.gateway.seats import Place, Seat
from seaproof.http.client import Client
from seaproof.invocations.chain import HEAD_BYTES, Call, Exchange, Reply
from seaproof.invocations.diagnosis import Evidence

SECONDS = 360.0
"""For one load; the platform waits as long."""
LOADED = (200, 409)
NO_ROOM = 507
_HEADERS = [(CONTENT_TYPE.encode(), b"application/json")]
_MOST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Load:
    """One POST /models and what came of it. Times in seconds."""

    container: str
    model: str
    status: int
    seconds: float


class LoadFailed(SeaproofError):
    """A container could not load a model: another answer than 200 or 409, or none."""

    def __init__(self, seat: Seat, place: Place, model: str, call: Call, seconds: float, outcome: Reply | HttpError):
        self.seat, self.place, self.model, self.call, self.seconds = seat, place, model, call, seconds
        self.reply = None if isinstance(outcome, HttpError) else outcome
        self.error = outcome if isinstance(outcome, HttpError) else None
        self.status = self.reply.status if self.reply else 0
        what = self.error.what if self.error else f"it answered {self.status}"
        super().__init__(f"container {seat.name} did not load the model {model!r}: {what}")

    def evidence(self, number: int) -> Evidence:
        """What is known of it, without log and end; `number` is that of the step, from 1."""
        headers = dict(self.reply.headers) if self.reply else {}
        body = self.reply.body if self.reply else b""
        return Evidence(
            step=self.seat.name,
            number=number,
            where=f"{self.place.host}:{self.place.port}",
            target=MODELS,
            kind=self.error.kind if self.error else "status",
            what=self.error.what if self.error else "",
            sent_type="application/json",
            sent_bytes=len(self.call.body),
            sent=self.call.body[:HEAD_BYTES],
            status=self.status,
            reply_type=headers.get(b"content-type", b"").decode("latin-1"),
            reply_bytes=len(body),
            reply=body[:HEAD_BYTES],
            server=headers.get(b"server", b"").decode("latin-1"),
            seconds=self.seconds,
            timeout=self.call.timeout,
        )


def target(model: str) -> str:
    """Where a loaded model is invoked."""
    return f"{MODELS}/{quote(model, safe='')}/invoke"


def load_call(place: Place, model: str) -> Call:
    """POST /models for this model, whose files the container has below its folder of models."""
    body = json.dumps({"model_name": model, "url": f"{place.models}/{model}/model"}).encode()
    return Call(place.host, place.port, _HEADERS, body, SECONDS, _MOST, target=MODELS)


async def ensure_loaded(client: Client, seat: Seat, place: Place, model: str) -> Load | None:
    """Have the model loaded; None where it was. Requests that want the same model wait for one load. LoadFailed."""
    loads = seat.loads()
    if model in loads.loaded:
        return None
    task = loads.under_way.get(model)
    if task is None:
        task = asyncio.ensure_future(_load(client, seat, place, model))
        loads.under_way[model] = task
        task.add_done_callback(lambda done: _landed(done, loads.under_way, model))
    begun = time.monotonic()
    # A caller that goes away ends its own wait, not the load that others wait for.
    status = await asyncio.shield(task)
    loads.loaded.add(model)
    return Load(seat.name, model, status, time.monotonic() - begun)


def reloading(seat: Seat, place: Place, model: str, done: list[Load]) -> Generator[Call, Reply, None]:
    """Load once more a model that the container says it has not. LoadFailed."""
    call, begun = load_call(place, model), time.monotonic()
    seat.loads().loaded.discard(model)
    try:
        reply = yield call
    except HttpError as error:
        raise LoadFailed(seat, place, model, call, time.monotonic() - begun, error) from error
    if reply.status not in LOADED:
        raise LoadFailed(seat, place, model, call, time.monotonic() - begun, reply)
    seat.loads().loaded.add(model)
    done.append(Load(seat.name, model, reply.status, time.monotonic() - begun))


def invoke(seat: Seat, place: Place, model: str, done: list[Load], call: Call) -> Exchange:
    """One invocation of a loaded model; a 404 is answered by one load and one more try."""
    reply: Reply = yield call
    if reply.status == 404:
        yield from reloading(seat, place, model, done)
        reply = yield call
    return reply


async def _load(client: Client, seat: Seat, place: Place, model: str) -> int:
    call, begun = load_call(place, model), time.monotonic()
    try:
        reply = await client.request(
            call.host, call.port, "POST", call.target, call.headers, call.body, timeout=SECONDS, max_body=_MOST
        )
    except HttpError as error:
        raise LoadFailed(seat, place, model, call, time.monotonic() - begun, error) from error
    if reply.status not in LOADED:
        raise LoadFailed(seat, place, model, call, time.monotonic() - begun, reply)
    return reply.status


def _landed(done: asyncio.Task[int], under_way: dict[str, asyncio.Task[int]], model: str) -> None:
    del under_way[model]
    if not done.cancelled():
        done.exception()  # whoever waits for it is told; nobody may be left
