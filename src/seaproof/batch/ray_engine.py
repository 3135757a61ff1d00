"""Ray as the engine: each worker is an actor, on whatever node Ray puts it; payloads and answers travel by Ray.

An actor that dies, with its node or alone, is started again by Ray where there is room, and what it had not answered is
sent to it again. Where there is no room, as after the loss of a node, the others do its work. `ray` is imported when it
is asked for: `pip install seaproof[ray]`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from seaproof.batch.engine import AHEAD, Map, Opener, Work
from seaproof.errors import SeaproofError

RESTARTS = 16
"""How often Ray replaces one actor, and repeats one item; more is no accident."""
PATIENCE = 10.0
"""Seconds until the work of an actor that says nothing is given to others."""
_CLOSE_SECONDS = 45.0
_POLL = 0.2
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
                    done, ready = ray.wait(ready, num_returns=len(ready), timeout=_POLL)
                    _get(ray, done)
                yield lambda items, width: _Map(ray, actors, width, self._stopped, self._patience).run(items)
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


@dataclass(eq=False)
class _Sent:
    """An item under way."""

    item: Any
    number: int
    """Of the actor that has it."""
    reference: Any


class _Map:
    """One map over the actors. Each item goes to the actor with the fewest under way, once one has room."""

    def __init__(
        self, ray: ModuleType, actors: list[Any], width: int, stopped: Callable[[], bool], patience: float
    ) -> None:
        self._ray, self._actors, self._width = ray, actors, width
        self._stopped, self._patience = stopped, patience
        self._under_way: deque[_Sent] = deque()
        self._silent: set[int] = set()
        """Actors that do not answer; they get nothing until they do."""
        self._calls: list[tuple[Any, float]] = [(None, 0.0)] * len(actors)
        """A call to each, to see that it is there, and when it was made."""

    def run(self, items: Iterable[Any]) -> Iterator[Any]:
        pending = self._under_way
        for item in items:
            number = self._with_room()
            if number < 0:
                return
            pending.append(self._send(item, number))
            del item
            most = AHEAD * self._width * len(self._actors)
            while pending and (len(pending) >= most or _is_done(self._ray, pending[0].reference)):
                if not self._await(lambda: [pending[0].reference]):
                    return
                yield _get(self._ray, pending.popleft().reference)
        while pending and self._await(lambda: [pending[0].reference]):
            yield _get(self._ray, pending.popleft().reference)

    def _send(self, item: Any, number: int) -> _Sent:
        return _Sent(item, number, self._actors[number].do.remote(item))

    def _with_room(self) -> int:
        """The number of the actor with the fewest under way, once these are fewer than the width; -1: stopped."""
        while not self._stopped():
            busy = self._busy()
            number = min(busy, key=lambda each: len(busy[each]))
            if len(busy[number]) < self._width:
                return number
            if not self._await(lambda: [reference for several in self._busy().values() for reference in several]):
                break
        return -1

    def _busy(self) -> dict[int, list[Any]]:
        """What has not been answered, by the numbers of the actors that are there; of all, where none is."""
        numbers = set(range(len(self._actors)))
        busy: dict[int, list[Any]] = {number: [] for number in numbers - self._silent or numbers}
        every = [sent.reference for sent in self._under_way]
        done = set(self._ray.wait(every, num_returns=len(every), timeout=0)[0]) if every else set()
        for sent in self._under_way:
            if sent.reference not in done and sent.number in busy:
                busy[sent.number].append(sent.reference)
        return busy

    def _await(self, references: Callable[[], list[Any]]) -> bool:
        """Wait until one of them is done; False where that is given up. They may be others after each look."""
        while not self._stopped():
            wanted = references()
            if not wanted or self._ray.wait(wanted, num_returns=1, timeout=_POLL)[0]:
                return True
            self._look_after()
        return False

    def _look_after(self) -> None:
        """Call every actor; the work of those that have been silent for too long goes to the others."""
        now = time.monotonic()
        for number, (call, since) in enumerate(self._calls):
            if call is None or _is_done(self._ray, call):
                if call is not None:
                    self._silent.discard(number)
                self._calls[number] = (self._actors[number].is_here.remote(), now)
            elif now - since > self._patience:
                self._silent.add(number)
        if len(self._silent) == len(self._actors):
            return  # there is nobody else
        for sent in self._under_way:
            if sent.number in self._silent and not _is_done(self._ray, sent.reference):
                busy = self._busy()
                number = min(busy, key=lambda each: len(busy[each]))
                sent.number, sent.reference = number, self._actors[number].do.remote(sent.item)


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


def _close(ray: ModuleType, actors: list[Any], patience: float) -> None:
    """Have all clear away what they have; one that is gone for good is not waited for."""
    begun = time.monotonic()
    left = [(actor.close.remote(), actor.is_here.remote()) for actor in actors]
    while left and time.monotonic() - begun < _CLOSE_SECONDS:
        ray.wait([closed for closed, _ in left], num_returns=len(left), timeout=_POLL)
        late = time.monotonic() - begun > patience
        left = [
            (closed, here) for closed, here in left if not _is_done(ray, closed) and (not late or _is_done(ray, here))
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
