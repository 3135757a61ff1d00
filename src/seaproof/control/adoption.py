"""Which instances of a record outlived the coordinator that started them, and can be adopted by the next one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from seaproof.control import health
from seaproof.control.fleet import Adopted, Plan
from seaproof.control.plane import Plane
from seaproof.control.store import Body
from seaproof.drivers.driver import Handle
from seaproof.errors import DriverError

Places = dict[str, Body]
"""By workload, what `containers` keeps of it in the record: id of the instance, variant, version, container."""


@dataclass(frozen=True)
class Found:
    """What is left of a record's instances."""

    places: Places
    """Of the workloads that can be adopted."""
    problems: list[tuple[str, str]]
    """Instances, and why one of their containers cannot be adopted."""
    living: Mapping[str, Handle]

    @property
    def handles(self) -> list[Handle]:
        """Of all that can be adopted."""
        return [self.living[workload] for workload in self.places]

    def instances(self, variant: str) -> list[Adopted]:
        """Those of one variant."""
        found: dict[str, tuple[Handle, ...]] = {}
        for workload, place in self.places.items():
            if place["variant"] == variant:
                found[place["id"]] = (*found.get(place["id"], ()), self.living[workload])
        return [Adopted(id, handles) for id, handles in found.items()]


def find(plane: Plane, places: Places, variants: Iterable[Plan], living: Mapping[str, Handle]) -> Found:
    """Look at what is on record: `living` is what the driver knows, and each of it has to answer its ping."""
    with ThreadPoolExecutor(8, thread_name_prefix="adopt") as pool:
        asked = pool.map(lambda workload: _problem(plane, living.get(workload)), places)
        problems = [(place["id"], problem) for place, problem in zip(places.values(), asked, strict=True) if problem]
    # An instance lives as a whole: where one of its containers is gone, the others are strays.
    broken = {id for id, _ in problems} | _incomplete(variants, places)
    return Found({workload: place for workload, place in places.items() if place["id"] not in broken}, problems, living)


def _incomplete(variants: Iterable[Plan], places: Places) -> set[str]:
    """The instances of which not every container had been started."""
    needed = {variant["name"]: len(variant["containers"]) for variant in variants}
    have = Counter((place["id"], place["variant"]) for place in places.values())
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
