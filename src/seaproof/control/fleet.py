"""What an endpoint runs right now, in memory: a seat for each instance, and the snapshot that requests follow.

Nothing here has to survive: the store knows what should run and which workloads do, and `recovery` makes new
fleets from it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from seaproof.drivers.driver import Exit, Handle
from seaproof.invocations.capture import read_capture
from seaproof.invocations.counters import Tally
from seaproof.invocations.routing import Instance, Routes, Routing, Shadow, Variant
from seaproof.invocations.sessions import Sessions

Plan = dict[str, Any]
"""A resolved endpoint configuration, as `plans.resolve` makes it; plain JSON, kept in the endpoint's record."""


_ENDS = 64


@dataclass(frozen=True)
class Adopted:
    """The workloads of an instance that were found running after a restart of the coordinator."""

    id: str
    """The instance's id, such as `i-0a1b2c3d4e5f60718`."""
    handles: tuple[Handle, ...]
    """Of all its containers."""


@dataclass(eq=False)
class Seat:
    """A place for one instance of a variant. The instance in it is replaced when it dies; the seat stays."""

    endpoint: str
    """The name of the endpoint, or of the job."""
    variant: Plan
    """The variant's part of the plan."""
    version: str
    """The version of the plan."""
    adopted: Adopted | None = None
    leaving: threading.Event = field(default_factory=threading.Event)
    """Set to have the seat cleared: no more requests, those under way finished, everything stopped."""
    drain: float | None = None
    """Seconds that requests under way get when the seat is cleared; None for all that a request may take."""
    instance: Instance | None = None
    """The instance that takes requests, if one does."""
    settled: bool = False
    """Whether the first instance became ready, or failed to."""
    failure: str = ""
    """Why the first instance did not become ready."""
    done: bool = False
    """Whether the seat is cleared."""
    kind: str = "endpoint"
    """What it is a seat of: the kind of the record."""
    longest_pause: float = 60.0
    """Seconds at most before an instance that died soon is followed by the next."""


class Fleet:
    """The seats of one endpoint. Usable from any thread."""

    def __init__(self, endpoint: str, routes: Routes) -> None:
        self.endpoint = endpoint
        self.tally = Tally()
        """What is counted of its models, where it is a multi-model endpoint."""
        self._routes = routes
        self.sessions = Sessions()
        self._to_shadow = Routes()
        self._seats: list[Seat] = []
        self._plan: Plan | None = None
        self._ends: dict[tuple[str, str], Exit] = {}
        self._changed = threading.Condition()

    @property
    def seats(self) -> list[Seat]:
        """All seats that are not cleared yet."""
        with self._changed:
            return list(self._seats)

    def add(self, seats: list[Seat]) -> None:
        """Take in new seats; they take requests once a plan of their version is served and they have an instance."""
        with self._changed:
            self._seats += seats

    def serve(self, plan: Plan) -> None:
        """From now on, requests go to the seats of this plan's version, by its weights."""
        with self._changed:
            self._plan = plan
            self._publish()

    def withdraw(self) -> None:
        """From now on, no request finds the endpoint."""
        with self._changed:
            self._plan = None
            self._publish()

    def ready(self, seat: Seat, instance: Instance) -> None:
        """The seat's instance answers its pings."""
        with self._changed:
            seat.instance, seat.settled = instance, True
            self._publish()

    def lost(self, seat: Seat) -> None:
        """The seat's instance takes no more requests."""
        with self._changed:
            seat.instance = None
            self._publish()

    def ended(self, instance: str, container: str, exit: Exit) -> None:
        """A container of an instance that took requests has ended; the last few are remembered."""
        with self._changed:
            self._ends[instance, container] = exit
            while len(self._ends) > _ENDS:
                self._ends.pop(next(iter(self._ends)))
            self._changed.notify_all()

    def end_of(self, instance: str, container: str, timeout: float) -> Exit | None:
        """How a container ended; None where it has not, within `timeout` seconds from now."""
        with self._changed:
            self._changed.wait_for(lambda: (instance, container) in self._ends, timeout)
            return self._ends.get((instance, container))

    def failed(self, seat: Seat, reason: str) -> None:
        """The seat's first instance did not become ready."""
        with self._changed:
            seat.failure, seat.settled = reason, True
            self._changed.notify_all()

    def cleared(self, seat: Seat) -> None:
        """Nothing of the seat is left."""
        with self._changed:
            seat.settled = seat.done = True
            self._seats = [other for other in self._seats if other is not seat]
            self._publish()

    def leave(self, seats: list[Seat], drain: float | None = None) -> None:
        """Have these seats cleared; returns at once. `drain`: see Seat."""
        with self._changed:
            for seat in seats:
                seat.drain = drain
                seat.leaving.set()
            self._publish()

    def wait_for(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until the condition holds, at most so many seconds; it is asked after every change."""
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def count(self, variant: str) -> int:
        """Instances of the served plan that take requests."""
        with self._changed:
            return len(self._instances(variant))

    def _instances(self, variant: str) -> tuple[Instance, ...]:
        version = self._plan["version"] if self._plan else None
        return tuple(
            seat.instance
            for seat in self._seats
            if seat.instance
            and seat.version == version
            and seat.variant["name"] == variant
            and not seat.leaving.is_set()
        )

    def _publish(self) -> None:
        if self._plan is None:
            self._routes.withdraw(self.endpoint)
        else:
            self._routes.publish(self._routing(self._plan))
        self._changed.notify_all()

    def _routing(self, plan: Plan) -> Routing:
        production: list[Variant] = []
        shadows: list[Variant] = []
        for given in plan["variants"]:
            at_once = (given.get("serverless") or {}).get("MaxConcurrency", 0)
            variant = Variant(given["name"], given["weight"], self._instances(given["name"]), at_once)
            (shadows if given.get("shadow") else production).append(variant)
        shadow, capture = self._shadow(production, shadows), read_capture(plan.get("capture"))
        at_once = (plan.get("async") or {}).get("PerInstance", 0)
        return Routing(
            self.endpoint,
            tuple(production),
            asynchronous=at_once,
            sessions=self.sessions,
            shadow=shadow,
            capture=capture,
        )

    def _shadow(self, production: list[Variant], shadows: list[Variant]) -> Shadow | None:
        """The share of the requests is the shadow's weight, measured by that of the production variant."""
        weight = sum(variant.weight for variant in production)
        if not shadows or not weight or not shadows[0].weight:
            return None
        self._to_shadow.publish(Routing(self.endpoint, tuple(shadows)))
        return Shadow(shadows[0].name, min(1.0, shadows[0].weight / weight), self._to_shadow)


class Fleets:
    """The fleets of all endpoints, by name, and the routes that lead to them."""

    def __init__(self) -> None:
        self.routes = Routes()
        self._lock = threading.Lock()
        self._fleets: dict[str, Fleet] = {}

    def of(self, endpoint: str) -> Fleet:
        """The fleet of one endpoint, a new one where it has none."""
        with self._lock:
            return self._fleets.setdefault(endpoint, Fleet(endpoint, self.routes))

    def drop(self, endpoint: str) -> None:
        """Forget the fleet of an endpoint that is gone."""
        with self._lock:
            self._fleets.pop(endpoint, None)
        self.routes.withdraw(endpoint)

    def all(self) -> list[Fleet]:
        """Every fleet."""
        with self._lock:
            return list(self._fleets.values())
