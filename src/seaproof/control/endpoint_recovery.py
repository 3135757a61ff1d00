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
from collections import Counter
from typing import Any

from seaproof.control import endpoint_life as life
from seaproof.control import health
from seaproof.control.containers import KIND
from seaproof.control.fleet import Adopted, Plan, Seat
from seaproof.control.instances import occupy
from seaproof.control.plane import Plane
from seaproof.control.plans import seats_of
from seaproof.control.store import Body, Record
from seaproof.drivers.driver import Handle
from seaproof.errors import DriverError

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
    entries = {
        workload: entry
        for workload, entry in record.body.get("_instances", {}).items()
        if entry["version"] == plan["version"]
    }
    problems = {workload: _problem(plane, living.get(workload)) for workload in entries}
    broken = {entries[workload]["id"] for workload, problem in problems.items() if problem}
    broken |= _incomplete(plan, entries)
    # An instance lives as a whole: where one of its containers is gone, the others are strays.
    kept = {workload: entry for workload, entry in entries.items() if entry["id"] not in broken}
    plane.store.update(KIND, record.name, lambda body: body.update(_instances=kept))
    for workload, problem in problems.items():
        if problem:
            plane.store.add_event(KIND, record.name, "lost", f"Instance {entries[workload]['id']}: {problem}")
    if not kept and "_next" in record.body:
        _start_again(plane, record)
    elif not kept:
        reason = "; ".join(sorted({problem for problem in problems.values() if problem})) or "no instance is on record"
        text = f"The local server was restarted and no instance of the endpoint was left: {reason}."
        limit = plane.settings.profile.failure_text.value
        life.transition(plane, record.name, "Failed", lambda body: body.update(FailureReason=text[:limit]))
    else:
        _serve_on(plane, record, kept, living)
    return [living[workload] for workload in kept]


def _serve_on(plane: Plane, record: Record, kept: dict[str, Any], living: dict[str, Handle]) -> None:
    plan, fleet = record.body["_plan"], plane.fleets.of(record.name)
    adopted: list[Seat] = []
    missing: list[Seat] = []
    surplus: list[Seat] = []
    for variant in plan["variants"]:
        mine = [
            Seat(record.name, variant, plan["version"], adopted=Adopted(id, handles))
            for id, handles in _handles(variant, kept, living).items()
        ]
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


def _handles(variant: Plan, kept: dict[str, Any], living: dict[str, Handle]) -> dict[str, tuple[Handle, ...]]:
    """The living handles of a variant, by instance."""
    found: dict[str, tuple[Handle, ...]] = {}
    for workload, entry in kept.items():
        if entry["variant"] == variant["name"]:
            found[entry["id"]] = (*found.get(entry["id"], ()), living[workload])
    return found


def _incomplete(plan: Plan, entries: dict[str, Any]) -> set[str]:
    """The instances of which not every container had been started."""
    needed = {variant["name"]: len(variant["containers"]) for variant in plan["variants"]}
    have = Counter((entry["id"], entry["variant"]) for entry in entries.values())
    return {id for (id, variant), count in have.items() if count < needed.get(variant, 0)}


def _problem(plane: Plane, handle: Handle | None) -> str:
    """Why a workload on record cannot be adopted, or ""."""
    if handle is None:
        return "its container was gone"
    try:
        exit = plane.driver.wait(handle, 0)
    except DriverError as error:
        return f"its container was gone: {error}"
    if exit is not None:
        return f"its container had ended, {health.describe_exit(exit)}"
    for _ in range(max(1, plane.settings.ping_failures)):
        ping = health.ping(plane, handle)
        if ping.healthy:
            return ""
    return f"its container did not pass the ping health check ({ping})"
