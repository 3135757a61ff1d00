"""One seat of an endpoint: an instance is started in it, watched for life, and replaced when it dies.

`keep` runs in a thread of its own, one for each seat; `_occupy` is the only place where the containers of an endpoint
are started, and the same call stops them.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from functools import partial

from seaproof.contract.environ import DEFAULT_PORT
from seaproof.control import containers, health
from seaproof.control.containers import KIND, Member
from seaproof.control.fleet import Fleet, Seat
from seaproof.control.health import Lost, NotReady
from seaproof.control.plane import Plane
from seaproof.errors import DriverError, ImageNotFound, SeaproofError
from seaproof.invocations.diagnosis import listening_elsewhere
from seaproof.invocations.routing import Instance

_LIVED_WELL = 60.0
"""Seconds after which a death says nothing about the next instance, which is then started at once."""


_NO_PING_IN_JOB = (
    "Model container failed to respond to ping: Please ensure /ping endpoint is implemented and responds with an HTTP"
    " 200 status code."
)
"""The platform's words for a transform job."""


class _Over(Exception):
    """The seat is to be cleared, or the coordinator shuts down."""


def occupy(plane: Plane, fleet: Fleet, seats: list[Seat]) -> None:
    """Take the seats into the fleet and keep each occupied, in the background, until it is told to leave."""
    fleet.add(seats)
    for seat in seats:
        plane.spawn(f"{seat.endpoint} {seat.variant['name']}", partial(keep, plane, fleet, seat))


def keep(plane: Plane, fleet: Fleet, seat: Seat) -> None:
    """Keep one seat occupied until it is told to leave. A seat whose very first instance fails is given up."""

    def go_on() -> None:
        if seat.leaving.is_set() or plane.closing.is_set():
            raise _Over

    pause = 0.0
    try:
        while True:
            started = time.monotonic()
            try:
                lost = _occupy(plane, fleet, seat, go_on)
                _event(plane, seat, lost.type, f"{lost.reason} It is replaced.")
            except NotReady as error:
                if not seat.settled:
                    fleet.failed(seat, str(error))
                    return
            pause = 0.0 if time.monotonic() - started > _LIVED_WELL else pause
            _pause(pause, go_on)
            pause = min(seat.longest_pause, max(1.0, 2 * pause))
    except _Over:
        return
    except Exception as error:
        fleet.failed(seat, f"seaproof itself failed: {type(error).__name__}: {error}")
        raise
    finally:
        fleet.cleared(seat)


def instance_id() -> str:
    """A new id, in the form of the platform's: `i-0` and 16 hexadecimal digits."""
    return f"i-0{secrets.token_hex(8)}"


def failure_reason(headline: str, cause: str, log: str, limit: int) -> str:
    """FailureReason: the platform's headline, the cause, and as much of the log's end as fits into `limit`."""
    text = f"{headline} {cause}".strip()
    lead = " Last lines of its log: "
    room = limit - len(text) - len(lead)
    if log and room > 20:
        return f"{text}{lead}{log if len(log) <= room else '…' + log[1 - room :]}"
    return text[:limit]


def _occupy(plane: Plane, fleet: Fleet, seat: Seat, go_on: Callable[[], None]) -> Lost:
    """One instance in the seat, from start to end; whatever this starts, it stops.

    NotReady carries the FailureReason. When the coordinator shuts down, what runs is left to the next one to adopt.
    """
    adopted = seat.adopted
    id = adopted.id if adopted else instance_id()
    running = containers.members(plane, seat, id)
    seat.adopted = None
    at, instance = running[0], None
    try:
        how = "was found running, and answers /ping"
        if adopted:
            for member in running:
                containers.follow_log(plane, member)
        else:
            for at in running:
                containers.start(plane, seat, id, at, go_on)
            _event(plane, seat, "started", f"Instance {id} was started{_names(running)}.", instance=id)
            _note(plane, seat, running)
            attempts = health.await_ready(plane, containers.patients(running), seat.variant["startup"], go_on)
            how = f"answered /ping with 200 (attempt {attempts})"
        instance = containers.routed(plane, fleet, seat, id, running)
        fleet.ready(seat, instance)
        _event(plane, seat, "ready", f"Instance {id} {how}{_names(running)}.", instance=id)
        lost = health.watch(plane, containers.patients(running), go_on)
        at = running[lost.number]
        # Read first: who hears of the end may look for the last lines at once.
        reason = f"{lost.reason} {at.last_lines()}".strip()
        if lost.exit:
            fleet.ended(id, at.name, lost.exit)
        return Lost(lost.type, reason)
    except (SeaproofError, OSError) as error:
        at = running[error.number] if isinstance(error, NotReady) else at
        raise _not_ready(plane, seat, id, at, error) from error
    finally:
        if instance is not None:
            fleet.lost(seat)
        if seat.leaving.is_set() or not plane.closing.is_set():
            if instance is not None and seat.leaving.is_set():
                _drain(plane, seat, instance)
            containers.clear(plane, seat, running, partial(_event, plane, seat))


def _drain(plane: Plane, seat: Seat, instance: Instance) -> None:
    """Let requests under way finish; nothing new comes in."""
    left = plane.settings.invocation_timeout if seat.drain is None else seat.drain
    until = time.monotonic() + left
    while not instance.drain(0.2) and time.monotonic() < until:
        if plane.closing.is_set():
            return


def _not_ready(plane: Plane, seat: Seat, id: str, member: Member, error: Exception) -> NotReady:
    log, who = member.last_lines(""), f"the {member.name} container for production variant {seat.variant['name']}"
    if seat.kind != KIND:
        who = f"the {member.name} container"
    if isinstance(error, NotReady) and seat.kind != KIND:
        headline = _NO_PING_IN_JOB
    elif isinstance(error, NotReady):
        # The first two sentences are the platform's.
        headline = (
            f"T{who[1:]} did not pass the ping health check. Please check CloudWatch logs for this endpoint."
            f" Here that is: seaproof endpoints logs {seat.endpoint}."
        )
    elif isinstance(error, ImageNotFound):
        headline = f"The image of {who} does not exist here."
    elif isinstance(error, DriverError):
        headline = f"T{who[1:]} could not be started."
    else:
        headline = ""
    cause = str(error)
    handle = member.handle
    elsewhere = listening_elsewhere(log, {DEFAULT_PORT, handle.port or 0}) if handle else ""
    if isinstance(error, NotReady) and elsewhere:
        cause = f"{cause} Its log says that it listens on {elsewhere}."
    reason = failure_reason(headline, cause, log, plane.settings.profile.failure_text.value)
    full = f"{headline} {cause}".strip() + (f"\n{log}" if log else "")
    _event(plane, seat, "died-before-ready", full, instance=id)
    return NotReady(reason)


def _names(running: list[Member]) -> str:
    """The names of the containers of a chain, for an event; nothing for a single one."""
    return "" if len(running) == 1 else f": {', '.join(member.name for member in running)}"


def _pause(seconds: float, go_on: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while True:
        go_on()
        left = until - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(0.1, left))


def _note(plane: Plane, seat: Seat, running: list[Member]) -> None:
    """Tell once for each endpoint what its driver does otherwise than a container would."""
    note = next((str(m.handle.detail["note"]) for m in running if m.handle and "note" in m.handle.detail), "")
    if not note:
        return
    with plane.store.transaction():  # seats start side by side
        told = {(event.event["type"], event.event["message"]) for event in plane.store.events(seat.kind, seat.endpoint)}
        if ("driver", note) not in told:
            _event(plane, seat, "driver", note)


def _event(plane: Plane, seat: Seat, type: str, message: str, **more: str) -> None:
    plane.store.add_event(seat.kind, seat.endpoint, type, message, variant=seat.variant["name"], **more)
