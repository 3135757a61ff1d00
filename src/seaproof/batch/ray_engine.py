"""Ray as the engine: each worker is an actor, on whatever node Ray puts it; payloads and answers travel by Ray.

An actor that dies, with its node or alone, is started again by Ray where there is room, and what it had not answered is
sent to it again. Where there is no room, as after the loss of a node, the others do its work. `ray` is imported when it
is asked for: `pip install seaproof[ray]`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import ModuleType
from typing import Any

from seaproof.batch.engine import Map, Opener, Work
from seaproof.batch.ray_map import POLL, RayMap, get, is_done
from seaproof.errors import SeaproofError

RESTARTS = 16
"""How often Ray replaces one actor, and repeats one item; more is no accident."""
PATIENCE = 10.0
"""Seconds until the work of an actor that says nothing is given to others."""
_CLOSE_SECONDS = 45.0
_THREADS = 128

_lock = threading.Lock()
_users = 0


class RayEngine:
    """Actors of a Ray cluster, or of a Ray that is started on this machine for as long as it is used."""

    name = "ray"

    def __init__(
        self, address: str = "", stopped: Callable[[], bool] = lambda: False, patience: float = PATIENCE
    ) -> None:
        """`address` as `ray.init` takes it; "" for the one in RAY_ADDRESS, or a Ray of this machine's own.

        Where `stopped`, a map ends without waiting for what is under way.
        """
        self._address, self._stopped, self._patience = address, stopped, patience

    @contextmanager
    def open(self, opener: Opener, workers: int) -> Iterator[Map]:
        with _connected(self._address) as ray:
            self._check_room(ray, workers)
            actors = [_actor(ray).remote(opener, number) for number in range(workers)]
            try:
                ready = [actor.ready.remote() for actor in actors]
                while ready and not self._stopped():
                    done, ready = ray.wait(ready, num_returns=len(ready), timeout=POLL)
                    get(ray, done)
                yield lambda items, width: RayMap(ray, actors, width, self._stopped, self._patience).run(items)
            finally:
                _close(ray, actors, self._patience)

    def _check_room(self, ray: ModuleType, workers: int) -> None:
        """A cluster may grow; the Ray of this machine does not, and would be waited for in vain."""
        room = int(ray.cluster_resources().get("CPU", 0))
        if not self._address and workers > room:
            raise SeaproofError(
                f"{workers} instances need a CPU each, and the Ray of this machine has {room}",
                next_step=f"Say --instances {room}, or name a larger cluster in SEAPROOF_RAY_ADDRESS.",
            )


class _Worker:
    """What runs in an actor. Ray makes it anew where it died, without telling; so it opens when it is first asked."""

    def __init__(self, opener: Opener, number: int) -> None:
        self._opener, self._number = opener, number
        self._lock = threading.Lock()
        self._context: AbstractContextManager[Work] | None = None
        self._work: Work | None = None
        self._is_over = False
        """Calls run beside one another: one to open it may come to its turn after that to close it."""

    def ready(self) -> None:
        with self._lock:
            if self._work is None and not self._is_over:
                context = self._opener(self._number)
                self._work = context.__enter__()
                self._context = context

    def is_here(self) -> bool:
        """Answered at once, whatever else is under way."""
        return True

    def do(self, item: Any) -> Any:
        self.ready()
        assert self._work is not None
        return self._work(item)

    def close(self) -> None:
        with self._lock:
            context, self._context, self._work = self._context, None, None
            self._is_over = True
        if context is not None:
            context.__exit__(None, None, None)


def _actor(ray: ModuleType) -> Any:
    options = {"max_restarts": RESTARTS, "max_task_retries": RESTARTS, "max_concurrency": _THREADS, "num_cpus": 1}
    return ray.remote(**options)(_Worker)


def _close(ray: ModuleType, actors: list[Any], patience: float) -> None:
    """Have all clear away what they have; one that is gone for good is not waited for."""
    begun = time.monotonic()
    left = [(actor.close.remote(), actor.is_here.remote()) for actor in actors]
    while left and time.monotonic() - begun < _CLOSE_SECONDS:
        ray.wait([closed for closed, _ in left], num_returns=len(left), timeout=POLL)
        late = time.monotonic() - begun > patience
        left = [
            (closed, here) for closed, here in left if not is_done(ray, closed) and (not late or is_done(ray, here))
        ]
    for actor in actors:
        with suppress(ray.exceptions.RayError):
            ray.kill(actor)


@contextmanager
def _connected(address: str) -> Iterator[ModuleType]:
    """Ray, connected to for as long as somebody uses it here; a connection that was there before stays."""
    global _users
    try:
        import ray
    except ImportError as error:
        raise SeaproofError(
            "the engine ray needs the package ray, which is not installed",
            next_step="Install it with `pip install seaproof[ray]`, or use the engine threads.",
        ) from error
    with _lock:
        if not _users and ray.is_initialized():
            _users += 1  # somebody else's, never to be shut down here
        if not _users:
            _connect(ray, address)
        _users += 1
    try:
        yield ray
    finally:
        with _lock:
            _users -= 1
            if not _users:
                ray.shutdown()


def _connect(ray: ModuleType, address: str) -> None:
    try:
        ray.init(address=address or None, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except Exception as error:  # what ray raises here is of many kinds
        raise SeaproofError(
            f"Ray cannot be reached or started: {error}",
            where=address or "this machine",
            next_step="Start it with `ray start --head`, and give its address in SEAPROOF_RAY_ADDRESS.",
        ) from error
