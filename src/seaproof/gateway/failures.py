"""A request that failed, explained: the step, what it was sent and gave, the container's last log lines, the cause."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus

from seaproof.drivers.driver import Exit
from seaproof.gateway.loading import LoadFailed
from seaproof.gateway.seats import Seat
from seaproof.http.client import Client
from seaproof.http.message import Headers, Response
from seaproof.invocations import problem
from seaproof.invocations.chain import StepFailed
from seaproof.invocations.diagnosis import Diagnosis, Evidence, diagnose, evidence_of
from seaproof.invocations.models_api import NO_MEMORY
from seaproof.invocations.send import ping

Explained = tuple[Response, str]
"""The answer, and the same as a paragraph for the terminal."""


class NotThere(Exception):
    """A container takes no requests now; `number` is that of the step, from 1."""

    status = 0
    """None came."""

    def __init__(self, number: int, seat: Seat) -> None:
        super().__init__(seat.problem)
        self.number, self.seat = number, seat


async def of_step(client: Client, error: StepFailed, seat: Seat, begun: float) -> Explained:
    """A step gave no answer, or one that is not 2xx."""
    evidence = await _examined(client, evidence_of(error), seat, begun)
    diagnosis = diagnose(evidence)
    return problem.response(evidence, diagnosis, error.trace), problem.paragraph(evidence, diagnosis)


async def of_container(client: Client, error: NotThere, begun: float) -> Explained:
    """A container is not there, so that nothing was sent to any."""
    seat = error.seat
    evidence = Evidence(seat.name, error.number, "no address", kind="refused", what=seat.problem)
    evidence = await _examined(client, replace(evidence, seconds=time.monotonic() - begun), seat, begun)
    diagnosis = Diagnosis(
        "not-ready",
        f"The container takes no requests: {seat.problem}",
        "GET /ping says when all containers are ready. Nothing was sent to any of them: the request can be sent again.",
    )
    return problem.response(evidence, diagnosis), problem.paragraph(evidence, diagnosis)


async def of_load(client: Client, error: LoadFailed, chain: Sequence[Seat], hazal: bool, begun: float) -> Explained:
    """A model could not be loaded; 507 (no room for it, or no such model) is 404 here, in hazal's words if wanted."""
    evidence = await _examined(client, error.evidence(chain.index(error.seat) + 1), error.seat, begun)
    diagnosis = diagnose(evidence)
    title = f"step {evidence.number}, {error.seat.name}, did not load the model {error.model}"
    status = problem.response(evidence, diagnosis).status
    if error.status == NO_MEMORY:
        status, title = 404, f"Model {error.model} not found!"
        diagnosis = Diagnosis(
            "model-not-found",
            f"The container answers 507 to the load of {error.model}: it has no such model, or no memory left for it.",
            "Its files belong into /opt/ml/models/<name>/model of the container; its log says what it looked for.",
        )
    text = f"{title}\n{problem.paragraph(evidence, diagnosis)}"
    if error.status == NO_MEMORY and hazal:
        return Response(404, [(b"Content-Type", b"text/plain")], title.encode()), text
    body = {"status": status, **problem.members(evidence, diagnosis), "title": title, "model": error.model}
    return _response(status, body), text


def refusal(status: int, what: str, next_step: str, headers: Headers | None = None) -> Response:
    """The gateway's own no, in the form of all its errors."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": what, "next_step": next_step}
    return _response(status, body, headers)


def _response(status: int, body: object, headers: Headers | None = None) -> Response:
    kind = (b"Content-Type", problem.PROBLEM_JSON)
    return Response(status, [kind, *(headers or [])], json.dumps(body, indent=2).encode() + b"\n")


async def _examined(client: Client, evidence: Evidence, seat: Seat, begun: float) -> Evidence:
    """With the container's last log lines, how it ended, and what its /ping says now."""
    loop, keeper, place = asyncio.get_running_loop(), seat.keeper, seat.place
    pinged = ""
    if evidence.kind != "status" and place is not None:
        pinged = str(await ping(client, place.host, place.port, 2.0))
    if keeper is None:
        return replace(evidence, ping=pinged)
    broken = evidence.kind in ("closed", "refused") and pinged != "200"
    exit: Exit | None = None
    # Who breaks a connection and answers no ping is about to be known dead; who refuses one may only be slow to start.
    for _ in range((40 if evidence.kind == "closed" else 10) if broken else 1):
        exit = await loop.run_in_executor(None, keeper.ended, begun)
        if exit is not None or not broken:
            break
        # A connection breaks before the end of its process is known.
        await asyncio.sleep(0.05)
    log = await loop.run_in_executor(None, keeper.last_lines, begun)
    for _ in range(5 if broken or evidence.status >= 500 else 0):
        # What a program prints takes a moment until it is in its log.
        await asyncio.sleep(0.05)
        before, log = log, await loop.run_in_executor(None, keeper.last_lines, begun)
        if log == before:
            break
    return replace(
        evidence,
        log=log.rstrip(),
        exit_code=exit.code if exit else None,
        out_of_memory=exit.out_of_memory if exit else False,
        ping=pinged,
    )
