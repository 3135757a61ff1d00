"""Where requests go: one immutable snapshot per endpoint, swapped whole by the control plane.

A snapshot is never changed, so a request sees either the old variants or the new ones. What is counted while
requests run lives in `Instance`, which is shared by all snapshots that name it: an instance that is to be stopped
is first left out of the next snapshot, then drained, and only then stopped.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from seaproof.invocations.capture import Capture
from seaproof.invocations.models import TargetModels
from seaproof.invocations.sessions import Sessions


@dataclass(frozen=True)
class Container:
    """Where one container of an instance answers."""

    name: str
    """As error messages name it: `primary`, or the hostname of a container in a series."""
    host: str
    port: int
    models: TargetModels | None = field(default=None, compare=False)
    """The models of a multi-model container; None for any other."""


class Instance:
    """One set of running containers, in the order that a request passes through them.

    With `direct` a request goes to the one that it names, and to no other.
    """

    def __init__(self, id: str, containers: tuple[Container, ...], *, direct: bool = False) -> None:
        self.id = id
        self.containers = containers
        self.direct = direct
        self._outstanding = 0
        self._closed = False
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    @property
    def outstanding(self) -> int:
        """Requests that it is working on."""
        return self._outstanding

    def enter(self) -> bool:
        """Count one more request; False, and not counted, where the instance takes no more."""
        with self._lock:  # and not the condition, whose own methods every request would pay for
            if self._closed:
                return False
            self._outstanding += 1
            return True

    def leave(self) -> None:
        """One request is done with."""
        with self._lock:
            self._outstanding -= 1
            if self._closed:
                self._changed.notify_all()

    def close(self) -> None:
        """Take no more requests, for good."""
        with self._changed:
            self._closed = True

    def drain(self, timeout: float) -> bool:
        """Take no more requests and wait, at most `timeout` seconds, until those under way are done."""
        with self._changed:
            self._closed = True
            return self._changed.wait_for(lambda: self._outstanding == 0, timeout)


@dataclass(frozen=True)
class Variant:
    """One production variant: its share of the traffic and the instances that can take it."""

    name: str
    weight: float
    instances: tuple[Instance, ...] = ()
    concurrency: int = 0
    """Requests that a serverless variant takes at once; 0 for a variant on instances."""


@dataclass(frozen=True)
class Shadow:
    """A variant that is sent what the production variant is sent, and whose answers no caller gets."""

    variant: str
    share: float
    """Of the requests, 0.0 to 1.0."""
    routes: Routes = field(compare=False)
    """They lead to the shadow variant alone, by the endpoint's name."""


@dataclass(frozen=True)
class Routing:
    """One endpoint at one moment. An endpoint of which no instance lives has variants without instances."""

    endpoint: str
    variants: tuple[Variant, ...]
    asynchronous: int = 0
    """Invocations that an instance gets at once, where the endpoint is invoked by InvokeEndpointAsync and by nothing
    else; 0 for any other."""
    sessions: Sessions = field(default_factory=Sessions, compare=False)
    """Those that its instances keep; the same in all snapshots of an endpoint."""
    shadow: Shadow | None = None
    capture: Capture | None = None


class Routes:
    """The snapshots of all endpoints that take requests, by name. Usable from any thread and any event loop."""

    def __init__(self) -> None:
        self._by_endpoint: dict[str, Routing] = {}

    def get(self, endpoint: str) -> Routing | None:
        """The newest snapshot; None for an endpoint that does not exist or is not in service."""
        return self._by_endpoint.get(endpoint)

    def publish(self, routing: Routing) -> None:
        """From now on, requests go where this snapshot says."""
        self._by_endpoint[routing.endpoint] = routing

    def withdraw(self, endpoint: str) -> None:
        """From now on, the endpoint is not found."""
        self._by_endpoint.pop(endpoint, None)

    def __iter__(self) -> Iterator[Routing]:
        return iter(list(self._by_endpoint.values()))
