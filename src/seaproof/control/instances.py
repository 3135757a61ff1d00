"""One seat of an endpoint: an instance is started in it, watched for life, and replaced when it dies.

`keep` runs in a thread of its own, one for each seat; `_occupy` is the only place where a workload of an endpoint
is started, and the same call stops it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from seaproof.contract.environ import DEFAULT_PORT
from seaproof.control import health, model_data
from seaproof.control.fleet import Fleet, Seat
from seaproof.control.health import Lost, NotReady
from seaproof.control.logs import follow, tail
from seaproof.control.plane import Plane
from seaproof.control.store import Body
from seaproof.drivers.driver import Handle, Workload
from seaproof.errors import DriverError, ImageNotFound, SeaproofError
from seaproof.invocations.routing import Container, Instance

KIND = "endpoint"
_LONGEST_PAUSE = 60.0
_LIVED_WELL = 60.0
"""Seconds after which a death says nothing about the next instance, which is then started at once."""
_MIB = 1024 * 1024


class _Over(Exception):
    """The seat is to be cleared, or the coordinator shuts down."""


def occupy(plane: Plane, fleet: Fleet, seats: list[Seat]) -> None:
    """Take the seats into the fleet and keep each occupied, in the background, until it is told to leave."""
    fleet.add(seats)
    for seat in seats:
        plane.spawn(f"{seat.endpoint} {seat.variant['name']}", lambda seat=seat: keep(plane, fleet, seat))


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
            pause = min(_LONGEST_PAUSE, max(1.0, 2 * pause))
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
    adopted, seat.adopted = seat.adopted, None
    id = adopted.id if adopted else instance_id()
    workload = _workload(plane, seat, id)
    log = plane.log_file("Endpoints", seat.endpoint, f"{seat.variant['name']}-{id}")
    handle, instance, copying = adopted.handle if adopted else None, None, None
    try:
        if handle is None:
            model_data.place(plane, seat.variant["containers"][0], workload.opt_ml, seat.variant["download"], go_on)
            go_on()
            handle = plane.driver.start(workload)
            _remember(plane, seat, id, handle)
            _event(plane, seat, "started", f"Instance {id} was started.", instance=id)
        copying = follow(plane, handle, log)
        attempts = health.await_ready(plane, handle, seat.variant["startup"], go_on)
        instance = _routed(seat, id, handle)
        fleet.ready(seat, instance)
        _event(plane, seat, "ready", f"Instance {id} answered /ping with 200 (attempt {attempts}).", instance=id)
        lost = health.watch(plane, handle, go_on)
        return Lost(lost.type, f"{lost.reason} {_last_lines(log, copying)}".strip())
    except (SeaproofError, OSError) as error:
        raise _not_ready(plane, seat, id, error, _last_lines(log, copying, "")) from error
    finally:
        if instance is not None:
            fleet.lost(seat)
        if seat.leaving.is_set() or not plane.closing.is_set():
            if instance is not None and seat.leaving.is_set():
                _drain(plane, seat, instance)
            _clear(plane, seat, workload, handle)


def _workload(plane: Plane, seat: Seat, id: str) -> Workload:
    variant, container = seat.variant, seat.variant["containers"][0]
    name = f"endpoint-{seat.endpoint}-{variant['name']}-{id}"
    memory = plane.settings.memory * _MIB
    return Workload(
        name=name,
        image=container["image"],
        opt_ml=plane.opt_ml(name),
        arguments=("serve",),
        environment=container["environment"],
        port=DEFAULT_PORT,
        read_only=("model",),
        hostname=container["hostname"],
        isolated=variant["isolated"],
        memory=memory or None,
    )


def _routed(seat: Seat, id: str, handle: Handle) -> Instance:
    assert handle.host is not None
    assert handle.port is not None
    return Instance(id, (Container(seat.variant["containers"][0]["name"], handle.host, handle.port),))


def _remember(plane: Plane, seat: Seat, id: str, handle: Handle) -> None:
    """Handle and place of the instance, in one transaction, for a coordinator to come."""
    entry = {"id": id, "variant": seat.variant["name"], "version": seat.version}
    with plane.store.transaction():
        plane.store.put_handle(KIND, seat.endpoint, handle)
        plane.store.update(
            KIND, seat.endpoint, lambda body: body.setdefault("_instances", {}).update({handle.name: entry})
        )


def _clear(plane: Plane, seat: Seat, workload: Workload, handle: Handle | None) -> None:
    if handle is not None:
        # What cannot be stopped now stays on record; the next start finds it and tries again.
        try:
            plane.driver.stop(handle, plane.settings.stop_endpoint_grace)
        except DriverError as error:
            _event(plane, seat, "not-stopped", str(error))
            return
        with plane.store.transaction():
            plane.store.drop_handle(handle.name)
            plane.store.update(KIND, seat.endpoint, lambda body: _forget(body, handle.name))
    model_data.remove(workload.opt_ml)


def _forget(body: Body, workload: str) -> None:
    body.get("_instances", {}).pop(workload, None)


def _drain(plane: Plane, seat: Seat, instance: Instance) -> None:
    """Let requests under way finish; nothing new comes in."""
    left = plane.settings.invocation_timeout if seat.drain is None else seat.drain
    until = time.monotonic() + left
    while not instance.drain(0.2) and time.monotonic() < until:
        if plane.closing.is_set():
            return


def _not_ready(plane: Plane, seat: Seat, id: str, error: Exception, log: str) -> NotReady:
    variant = seat.variant["name"]
    if isinstance(error, NotReady):
        headline = (
            f"The primary container for production variant {variant} did not pass the ping health check. "
            "Please check CloudWatch logs for this endpoint."
        )
    elif isinstance(error, ImageNotFound):
        headline = f"The image of the primary container for production variant {variant} does not exist here."
    elif isinstance(error, DriverError):
        headline = f"The primary container for production variant {variant} could not be started."
    else:
        headline = ""
    reason = failure_reason(headline, str(error), log, plane.settings.profile.failure_text.value)
    full = f"{headline} {error}".strip() + (f"\n{log}" if log else "")
    _event(plane, seat, "died-before-ready", full, instance=id)
    return NotReady(reason)


def _last_lines(log: Path, copying: threading.Thread | None, lead: str = "Last lines of its log: ") -> str:
    """The end of the log, once what the container printed last has been copied."""
    if copying is None:
        return ""
    copying.join(0.5)
    text = tail(log)
    return f"{lead}{text}" if text else ""


def _pause(seconds: float, go_on: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while True:
        go_on()
        left = until - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(0.1, left))


def _event(plane: Plane, seat: Seat, type: str, message: str, **more: str) -> None:
    plane.store.add_event(KIND, seat.endpoint, type, message, variant=seat.variant["name"], **more)
