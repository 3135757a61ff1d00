"""The life of an endpoint behind its operations: brought up, changed, rolled back, taken down.

    Creating -> InService | Failed
    InService -> Updating -> InService, or -> RollingBack -> InService with a FailureReason
    (parked by a shutdown) -> SystemUpdating -> InService | Failed
    Deleting -> gone

Each of these runs in a thread of its own, at most one per endpoint, because the operations refuse an endpoint that
is in progress. A step that the coordinator does not live to finish is found in the record and done again by
`endpoint_recovery`: nothing here depends on what was only in memory.
"""

from __future__ import annotations

from collections.abc import Callable

from seaproof.control.containers import KIND
from seaproof.control.fleet import Fleet, Plan, Seat
from seaproof.control.instances import occupy
from seaproof.control.plane import Plane
from seaproof.control.plans import seats_of
from seaproof.control.store import Body

_SLICE = 0.25


class _Closing(Exception):
    """The coordinator shuts down; the record stays as it is."""


def create(plane: Plane, name: str) -> None:
    """Bring a new endpoint up, in the background: InService, or Failed with nothing left running."""
    _spawn(plane, f"create {name}", lambda: _create(plane, name))


def change(plane: Plane, name: str) -> None:
    """Bring an endpoint from its plan to the next one, in the background: new instances first, then the old stopped."""
    _spawn(plane, f"update {name}", lambda: _change(plane, name))


def finish_change(plane: Plane, name: str, seats: list[Seat]) -> None:
    """Stop the seats that a change, or its rolling back, has left over, in the background; then InService."""
    _spawn(plane, f"finish {name}", lambda: _finish(plane, name, seats))


def delete(plane: Plane, name: str) -> None:
    """Take an endpoint down, in the background, and forget it."""
    _spawn(plane, f"delete {name}", lambda: _delete(plane, name))


def transition(plane: Plane, name: str, status: str, change: Callable[[Body], None] | None = None) -> None:
    """Write a status, with what else changes, and record the event."""
    with plane.store.transaction():
        before = plane.store.get(KIND, name)
        after = plane.store.update(KIND, name, change, status=status)
        if before and after:
            reason = after.body.get("FailureReason", "")
            plane.store.add_event(KIND, name, "status", f"{before.status} -> {status}. {reason}".strip(), status=status)


def keep_sessions(plane: Plane, fleet: Fleet) -> None:
    """From now on, the sessions that the endpoint's instances keep are on record, for a coordinator to come."""

    def write() -> None:
        # What holds when it is written: two of these may overtake one another.
        plane.store.update(KIND, fleet.endpoint, lambda body: body.update(_sessions=fleet.sessions.all()))

    # Beside the event loop, which calls this.
    fleet.sessions.changed = lambda: plane.spawn("sessions", write)


def retire(plane: Plane, fleet: Fleet, seats: list[Seat], drain: float | None = None) -> None:
    """Clear these seats and wait until nothing of them is left."""
    fleet.leave(seats, drain)
    while not fleet.wait_for(lambda: all(seat.done for seat in seats), _SLICE):
        if plane.closing.is_set():
            raise _Closing


def _go_on(plane: Plane, name: str, status: str, change: Callable[[Body], None]) -> None:
    """As `transition`, for what is under way: an endpoint that was put to rest meanwhile stays so."""
    with plane.store.transaction():
        if "_parked" in _body(plane, name):
            raise _Closing
        transition(plane, name, status, change)


def _spawn(plane: Plane, name: str, work: Callable[[], None]) -> None:
    def run() -> None:
        try:
            work()
        except _Closing:
            return

    plane.spawn(name, run)


def _create(plane: Plane, name: str) -> None:
    plan, fleet = _body(plane, name)["_plan"], plane.fleets.of(name)
    seats = [seat for variant in plan["variants"] for seat in seats_of(name, plan, variant, variant["count"])]
    keep_sessions(plane, fleet)
    reason = _bring_up(plane, fleet, seats)
    if reason:
        retire(plane, fleet, seats)
        _go_on(plane, name, "Failed", lambda body: body.update(FailureReason=reason))
    else:
        # Published first: an endpoint that says InService takes requests.
        fleet.serve(plan)
        following = "_next" in _body(plane, name)
        _go_on(plane, name, "Updating" if following else "InService", lambda body: _drop(body, "FailureReason"))
        if following:
            _change(plane, name)


def _change(plane: Plane, name: str) -> None:
    fleet = plane.fleets.of(name)
    following = _body(plane, name)["_next"]
    new, old = _compare(name, fleet, following)
    reason = _bring_up(plane, fleet, new)
    if reason:
        _go_on(plane, name, "RollingBack", lambda body: body.update(FailureReason=reason))
        _finish(plane, name, new)
        return

    def switch(body: Body) -> None:
        body["_plan"] = body.pop("_next")
        body["EndpointConfigName"] = body["_plan"]["config"]
        if "_deployment" in body:
            body["LastDeploymentConfig"] = body.pop("_deployment")
        _drop(body, "FailureReason")

    _go_on(plane, name, "Updating", switch)
    fleet.serve(following)
    _finish(plane, name, old)


def _finish(plane: Plane, name: str, seats: list[Seat]) -> None:
    retire(plane, plane.fleets.of(name), seats)
    _go_on(plane, name, "InService", lambda body: _drop(body, "_next", "_deployment", "_since"))


def _delete(plane: Plane, name: str) -> None:
    fleet = plane.fleets.of(name)
    fleet.withdraw()
    retire(plane, fleet, fleet.seats)
    # First: whoever sees that the name is free may take it at once, and has a fleet of its own.
    plane.fleets.drop(name)
    with plane.store.transaction():
        plane.store.add_event(KIND, name, "status", "Deleting -> gone", status="Deleted")
        plane.store.delete(KIND, name)


def _bring_up(plane: Plane, fleet: Fleet, seats: list[Seat]) -> str:
    """Start the seats and wait until all are ready: "", or why the first one that failed did."""
    occupy(plane, fleet, seats)

    def decided() -> bool:
        return all(seat.settled for seat in seats) or any(seat.failure for seat in seats)

    while not fleet.wait_for(decided, _SLICE):
        if plane.closing.is_set():
            raise _Closing
    if plane.closing.is_set() or any(seat.leaving.is_set() for seat in seats):
        raise _Closing
    return next((seat.failure for seat in seats if seat.failure), "")


def _compare(name: str, fleet: Fleet, following: Plan) -> tuple[list[Seat], list[Seat]]:
    """The seats that the next plan needs besides those of its own version, and the seats that it needs no more."""
    new: list[Seat] = []
    old = [seat for seat in fleet.seats if seat.version != following["version"]]
    for variant in following["variants"]:
        have = [
            seat
            for seat in fleet.seats
            if seat.version == following["version"] and seat.variant["name"] == variant["name"]
        ]
        new += seats_of(name, following, variant, variant["count"] - len(have))
        # Those that take requests stay longest.
        have.sort(key=lambda seat: seat.instance is None)
        old += have[variant["count"] :]
    return new, old


def _body(plane: Plane, name: str) -> Body:
    record = plane.store.get(KIND, name)
    if record is None:
        raise _Closing  # the project was emptied under us; there is nothing to change
    return record.body


def _drop(body: Body, *keys: str) -> None:
    for key in keys:
        body.pop(key, None)
