"""The containers of one instance: one, or several in series, each a workload with folder, port and log of its own.

They live and end together. An instance of which one container dies is replaced whole, as on the platform: a request
never meets the new first container and the old second one of a chain.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from seaproof.contract.environ import DEFAULT_PORT, MULTI_MODEL
from seaproof.control import model_data, multi_model
from seaproof.control.fleet import Fleet, Plan, Seat
from seaproof.control.health import Patient
from seaproof.control.logs import follow, tail
from seaproof.control.plane import Plane
from seaproof.control.store import Body
from seaproof.drivers.driver import Handle, Workload
from seaproof.errors import DriverError
from seaproof.invocations.loading import Loader
from seaproof.invocations.routing import Container, Instance

KIND = "endpoint"
LOG_GROUPS = {KIND: "Endpoints", "transform-job": "TransformJobs"}
"""By the kind of the record that a seat belongs to."""
_MIB = 1024 * 1024
_MOMENTS = 10
_MOMENT = 0.05
"""What a container printed last is waited for in moments: a pause of this whole process is one of them."""


@dataclass(eq=False)
class Member:
    """One container of an instance."""

    container: Plan
    """Its part of the plan."""
    workload: Workload
    log: Path
    handle: Handle | None = None
    copying: threading.Thread | None = None
    """Copies what it prints to the log."""
    models: Loader | None = None
    """Loads the models of a multi-model container."""

    @property
    def name(self) -> str:
        """As error messages name it: `primary`, `container-1`, or its hostname."""
        name: str = self.container["name"]
        return name

    def last_lines(self, lead: str = "Last lines of its log: ") -> str:
        """The end of its log, once what it printed last has been copied."""
        if self.copying is None:
            return ""
        for _ in range(_MOMENTS):
            self.copying.join(_MOMENT)
        text = tail(self.log)
        return f"{lead}{text}" if text else ""


def members(plane: Plane, seat: Seat, id: str) -> list[Member]:
    """The containers of one instance, in their order; nothing is started. What was adopted has its handle."""
    adopted = {handle.name: handle for handle in seat.adopted.handles} if seat.adopted else {}
    found = []
    for number, container in enumerate(seat.variant["containers"], 1):
        workload = _workload(plane, seat, id, container, number)
        log = log_file(plane, seat.endpoint, seat.variant["name"], id, container["name"], kind=seat.kind)
        found.append(Member(container, workload, log, adopted.get(workload.name)))
    return found


def log_file(plane: Plane, owner: str, variant: str, instance: str, container: str, *, kind: str = KIND) -> Path:
    """Where a container's output is kept: `<variant>-<instance>`, and below it a file each where there are several."""
    stream = [f"{variant}-{instance}"] + ([container] if container != "primary" else [])
    return plane.log_file(LOG_GROUPS[kind], owner, *stream)


def start(plane: Plane, seat: Seat, id: str, member: Member, go_on: Callable[[], None]) -> None:
    """Fetch its model data and start it; on record before this returns. It need not be ready."""
    model_data.place(plane, member.container, member.workload.opt_ml, seat.variant["download"], go_on)
    if member.container.get("multi_model"):
        (member.workload.opt_ml / "models").mkdir(exist_ok=True)
    go_on()
    member.handle = plane.driver.start(member.workload)
    _remember(plane, seat, id, member.name, member.handle)
    follow_log(plane, member)


def follow_log(plane: Plane, member: Member) -> None:
    """Copy what it prints to its log, from now on."""
    if member.handle is not None:
        member.copying = follow(plane, member.handle, member.log)


def patients(running: list[Member]) -> list[Patient]:
    """For their health."""
    alone = len(running) == 1
    return [Patient(m.handle, "Its container" if alone else f"Its container {m.name}") for m in running if m.handle]


def routed(plane: Plane, fleet: Fleet, seat: Seat, id: str, running: list[Member]) -> Instance:
    """Where requests reach them."""
    found = []
    for member in running:
        handle = member.handle
        assert handle is not None
        assert handle.host is not None
        assert handle.port is not None
        if member.container.get("multi_model"):
            member.models = multi_model.loader(plane, fleet, member.container, handle, member.workload.opt_ml)
        found.append(Container(member.name, handle.host, handle.port, member.models))
    return Instance(id, tuple(found), direct=seat.variant.get("mode") == "Direct")


def clear(plane: Plane, seat: Seat, running: list[Member], event: Callable[[str, str], None]) -> None:
    """Stop them all, side by side, and remove what is theirs."""

    def stop(member: Member) -> None:
        handle = member.handle
        if member.models is not None:
            member.models.close()
        if handle is not None:
            # What cannot be stopped now stays on record; the next start finds it and tries again.
            try:
                plane.driver.stop(handle, plane.settings.stop_endpoint_grace)
            except DriverError as error:
                event("not-stopped", str(error))
                return
            with plane.store.transaction():
                plane.store.drop_handle(handle.name)
                plane.store.update(seat.kind, seat.endpoint, lambda body: _forget(body, handle.name))
        model_data.remove(member.workload.opt_ml)

    with ThreadPoolExecutor(len(running), thread_name_prefix="stop") as pool:
        list(pool.map(stop, running))


def _workload(plane: Plane, seat: Seat, id: str, container: Plan, number: int) -> Workload:
    variant = seat.variant
    name = f"{seat.kind.partition('-')[0]}-{seat.endpoint}-{variant['name']}-{id}"
    if len(variant["containers"]) > 1:
        name = f"{name}-{number}"
    given = (variant.get("serverless") or {}).get("MemorySizeInMB", 0)
    memory = min(filter(None, (plane.settings.memory, given)), default=0) * _MIB
    has_models = bool(container.get("multi_model"))
    return Workload(
        name=name,
        image=container["image"],
        opt_ml=plane.opt_ml(name),
        arguments=("serve",),
        environment={**container["environment"], **({MULTI_MODEL: "true"} if has_models else {})},
        port=DEFAULT_PORT,
        read_only=("model", "models") if has_models else ("model",),
        hostname=container["hostname"],
        isolated=variant["isolated"],
        memory=memory or None,
    )


def _remember(plane: Plane, seat: Seat, id: str, container: str, handle: Handle) -> None:
    """Handle and place of the container, in one transaction, for a coordinator to come."""
    entry = {"id": id, "variant": seat.variant["name"], "version": seat.version, "container": container}
    with plane.store.transaction():
        plane.store.put_handle(seat.kind, seat.endpoint, handle)
        plane.store.update(
            seat.kind, seat.endpoint, lambda body: body.setdefault("_instances", {}).update({handle.name: entry})
        )


def _forget(body: Body, workload: str) -> None:
    body.get("_instances", {}).pop(workload, None)
