"""Transform jobs across a restart of the coordinator: what lives is adopted, and what was written stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seaproof.control import adoption, transform_instances, transform_unfinished
from seaproof.control.fleet import Adopted
from seaproof.control.job_endings import ENDED, IN_PROGRESS
from seaproof.control.plane import Plane
from seaproof.control.store import Record
from seaproof.control.transform_record import KIND, Job
from seaproof.control.transform_steps import start
from seaproof.drivers.driver import Handle


def recover_transform_jobs(plane: Plane, living: Sequence[Handle]) -> list[Handle]:
    """Go on with every job that an earlier coordinator left, after what was written last.

    `living` is what the driver's `recover()` found. Returns the handles that jobs adopted; what is missing of their
    containers is started anew.
    """
    by_name = {handle.name: handle for handle in living}
    kept: list[Handle] = []
    for record in plane.store.records(KIND):
        if record.status in ENDED:
            continue
        adopted = _adopt(plane, record, by_name)
        kept += [handle for one in adopted.values() for handle in one.handles]
        how = f", with {len(adopted)} of its instances, found running" if adopted else ", with new instances"
        plane.store.add_event(KIND, record.name, "recovered", f"goes on after what was written last{how}")
        start(Job(plane, record.name, adopted))
    transform_unfinished.sweep(plane)
    return kept


def _adopt(plane: Plane, record: Record, living: Mapping[str, Handle]) -> dict[str, Adopted]:
    """The instances of a job that live, by the names of their variants; one that is to stop needs none."""
    places = record.body.get("_instances", {}) if record.status == IN_PROGRESS else {}
    variants = transform_instances.variants(record.body)
    found = adoption.find(plane, places, variants, living)
    adopted = {variant["name"]: one for variant in variants for one in found.instances(variant["name"])[:1]}
    ids = {one.id for one in adopted.values()}
    stay = {workload: place for workload, place in found.places.items() if place["id"] in ids}
    plane.store.update(KIND, record.name, lambda body: body.update(_instances=stay))
    for id, problem in found.problems:
        plane.store.add_event(KIND, record.name, "lost", f"Instance {id}: {problem}")
    return adopted
