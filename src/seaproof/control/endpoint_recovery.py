"""Endpoints across a restart of the coordinator: what lives is adopted, what is lost is said, what was begun ends.

    found in the record       what becomes of it
    InService                 its living instances serve on, missing ones are replaced; Failed where none lives
    Creating                  created again from scratch
    Updating                  the living old instances serve on, and the change is done again from its start; where
                              the change had already switched over, the rest of the old instances is stopped
    RollingBack               the living old instances serve on
    Deleting                  deleted
    parked by a shutdown      OutOfService until it is resumed; then SystemUpdating: brought up again, and what had
                              been begun goes on

Workloads that are not adopted are strays, which `recovery` stops.
"""

from __future__ import annotations

import time

from seaproof.control import adoption
from seaproof.control import endpoint_life as life
from seaproof.control.adoption import Found
from seaproof.control.containers import KIND
from seaproof.control.fleet import Seat
from seaproof.control.instances import occupy
from seaproof.control.plane import Plane
from seaproof.control.plans import seats_of
from seaproof.control.store import Body, Record
from seaproof.drivers.driver import Handle

RESTING = "OutOfService"
PARK_DRAIN = 5.0
"""Seconds that requests under way get when the coordinator shuts down."""


def recover_endpoints(plane: Plane, living: list[Handle], *, resume: bool = True) -> list[Handle]:
    """Bring all endpoints on record back to life, or to a clear end; the handles that were adopted.

    Without `resume`, those that were parked stay at rest.
    """
    by_name = {handle.name: handle for handle in living}
    adopted: list[Handle] = []
    for record in plane.store.records(KIND):
        if record.status == "Deleting":
            life.delete(plane, record.name)
        elif record.body.get("_parked"):
            if resume:
                _start_again(plane, record)
        elif record.status in ("Creating", "SystemUpdating"):
            _start_again(plane, record)
        elif record.status != "Failed":
            adopted += _adopt(plane, record, by_name)
    return adopted


def resume_endpoints(plane: Plane) -> None:
    """Start the endpoints again that are parked."""
    for record in plane.store.records(KIND):
        if record.body.get("_parked") and record.status == RESTING:
            _start_again(plane, record)


def park_endpoints(plane: Plane) -> None:
    """Stop all instances and note in the records that they are to be started again, and where they were."""
    for record in plane.store.records(KIND):
        if record.status not in ("Failed", "Deleting", RESTING):
            _rest(plane, record)
    until = time.monotonic() + PARK_DRAIN + plane.settings.stop_endpoint_grace + 5.0
    while time.monotonic() < until:
        fleets = [fleet for fleet in plane.fleets.all() if fleet.seats]
        if not fleets:
            return
        for fleet in fleets:
            # Again each time round: an operation under way may have added seats.
            fleet.leave(fleet.seats, PARK_DRAIN)
        time.sleep(0.1)


def _rest(plane: Plane, record: Record) -> None:
    plane.store.update(KIND, record.name, lambda body: body.update(_parked=record.status), status=RESTING)
    plane.store.add_event(KIND, record.name, "parked", "The local server ends; `seaproof up` goes on with this.")


def _start_again(plane: Plane, record: Record) -> None:
    def begin(body: Body) -> None:
        body.pop("_parked", None)
        body["_instances"] = {}
        body["_since"] = time.time()

    was = record.body.get("_parked") or record.status
    life.transition(plane, record.name, "Creating" if was == "Creating" else "SystemUpdating", begin)
    life.create(plane, record.name)


def _adopt(plane: Plane, record: Record, living: dict[str, Handle]) -> list[Handle]:
    """Adopt what lives of the plan being served, and go on with what was begun."""
    plan = record.body["_plan"]
    places = {
        workload: place
        for workload, place in record.body.get("_instances", {}).items()
        if place["version"] == plan["version"]
    }
    found = adoption.find(plane, places, plan["variants"], living)
    plane.store.update(KIND, record.name, lambda body: body.update(_instances=found.places))
    for id, problem in found.problems:
        plane.store.add_event(KIND, record.name, "lost", f"Instance {id}: {problem}")
    if not found.places and "_next" in record.body:
        _start_again(plane, record)
    elif not found.places:
        reason = "; ".join(sorted({problem for _, problem in found.problems})) or "no instance is on record"
        text = f"The local server was restarted and no instance of the endpoint was left: {reason}."
        limit = plane.settings.profile.failure_text.value
        life.transition(plane, record.name, "Failed", lambda body: body.update(FailureReason=text[:limit]))
    else:
        _serve_on(plane, record, found)
    return found.handles


def _serve_on(plane: Plane, record: Record, found: Found) -> None:
    plan, fleet = record.body["_plan"], plane.fleets.of(record.name)
    adopted: list[Seat] = []
    missing: list[Seat] = []
    surplus: list[Seat] = []
    for variant in plan["variants"]:
        mine = [Seat(record.name, variant, plan["version"], adopted=each) for each in found.instances(variant["name"])]
        adopted += mine
        surplus += mine[variant["count"] :]
        missing += seats_of(record.name, plan, variant, variant["count"] - len(mine))
    for seat in missing:
        # Not a first start: one that fails is tried again and does not end the seat.
        seat.settled = True
    fleet.sessions.load(record.body.get("_sessions") or {})
    life.keep_sessions(plane, fleet)
    fleet.serve(plan)
    occupy(plane, fleet, adopted + missing)
    fleet.wait_for(lambda: all(seat.instance or seat.done for seat in adopted), 5.0)
    if record.status == "Updating" and "_next" in record.body:
        life.change(plane, record.name)
    elif record.status != "InService" or surplus:
        life.finish_change(plane, record.name, surplus)
