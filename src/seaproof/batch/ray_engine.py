"""Ray as the engine: each worker is an actor, on whatever node Ray puts it; payloads and answers travel by Ray.

An actor that dies, with its node or alone, is started again by Ray where there is room, and what it had not answered is
sent to it again. `ray` is imported when it is asked for: `pip install seaproof[ray]`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import ModuleType
from typing import Any

from seaproof.batch.engine import AHEAD, Map, Opener, Work
from seaproof.errors import SeaproofError

RESTARTS = 16
"""How often Ray replaces one actor, and repeats one item; more is no accident."""
_CLOSE_SECONDS = 45.0
_POLL = 0.2
_THREADS = 128

_lock = threading.Lock()
_users = 0


class RayEngine:
    """Actors of a Ray cluster, or of a Ray that is started on this machine for as long as it is used."""

    name = "ray"

    def __init__(self, address: str = "", stopped: Callable[[], bool] = lambda: False) -> None:
        """`address` as `ray.init` takes it; "" for the one in RAY_ADDRESS, or a Ray of this machine's own.

        Where `stopped`, a map ends without waiting for what is under way.
        """
        self._address, self._stopped = address, stopped

    @contextmanager
    def open(self, opener: Opener, workers: int) -> Iterator[Map]:
        with _connected(self._address) as ray:
            actors = [_actor(ray).remote(opener, number) for number in range(workers)]
            try:
                _get(ray, [actor.ready.remote() for actor in actors])
                yield lambda items, width: _map(ray, actors, items, width, self._stopped)
            finally:
                _close(ray, actors)


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


def _map(
    ray: ModuleType, actors: list[Any], items: Iterable[Any], width: int, stopped: Callable[[], bool]
) -> Iterator[Any]:
    """Each item goes to the actor with the fewest under way, once one has room."""
    under_way: list[set[Any]] = [set() for _ in actors]
    pending: deque[Any] = deque()
    for item in items:
        number = _with_room(ray, under_way, width, stopped)
        if number < 0:
            return
        reference = actors[number].do.remote(item)
        under_way[number].add(reference)
        pending.append(reference)
        del item
        while pending and (len(pending) >= AHEAD * width * len(actors) or _is_done(ray, pending[0])):
            if not _await(ray, [pending[0]], stopped):
                return
            yield _get(ray, pending.popleft())
    while pending and _await(ray, [pending[0]], stopped):
        yield _get(ray, pending.popleft())


def _with_room(ray: ModuleType, under_way: list[set[Any]], width: int, stopped: Callable[[], bool]) -> int:
    """The number of the actor with the fewest under way, which are fewer than `width`; waited for. -1: stopped."""
    while True:
        every = [reference for references in under_way for reference in references]
        if every:
            full = all(len(references) >= width for references in under_way)
            if full and not _await(ray, every, stopped):
                return -1
            done, _ = ray.wait(every, num_returns=len(every), timeout=0)
            for references in under_way:
                references.difference_update(done)
        number = min(range(len(under_way)), key=lambda each: len(under_way[each]))
        if len(under_way[number]) < width:
            return number


def _await(ray: ModuleType, references: list[Any], stopped: Callable[[], bool]) -> bool:
    """Wait until one of them is done; False where that is given up."""
    while not stopped():
        done, _ = ray.wait(references, num_returns=1, timeout=_POLL)
        if done:
            return True
    return False


def _is_done(ray: ModuleType, reference: Any) -> bool:
    done, _ = ray.wait([reference], timeout=0)
    return bool(done)


def _get(ray: ModuleType, reference: Any) -> Any:
    """The result; what the work raised is raised as it was."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = getattr(error, "cause", None)
        raise (cause if isinstance(cause, Exception) else error) from None
    except ray.exceptions.RayError as error:
        raise SeaproofError(
            f"Ray could not keep an actor alive: {str(error).splitlines()[0]}",
            next_step="`ray status` and the logs below /tmp/ray say why.",
        ) from error


def _close(ray: ModuleType, actors: list[Any]) -> None:
    with suppress(ray.exceptions.RayError):
        ray.wait([actor.close.remote() for actor in actors], num_returns=len(actors), timeout=_CLOSE_SECONDS)
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
