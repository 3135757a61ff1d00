"""What one multi-model container has in memory and on its disk, and what has to go when either is full. No I/O.

A `Model` is one stay of a model in the container:

    LOADING -> LOADED -> LEAVING -> GONE
       \\-> GONE (it failed)  \\-> GONE (the container lost it)

Whoever wants a model takes a lease and gives it back. A model with leases is never unloaded: it is marked LEAVING,
takes no new leases, and goes when the last one is given back; who wants it meanwhile waits for its next stay. The
caller of these methods holds one lock for all of them; `loading` does what they decide.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from seaproof.errors import HttpError, ServiceError
from seaproof.invocations.chain import Reply


class Phase(Enum):
    """Where a model's stay has got to."""

    LOADING = "loading"
    LOADED = "loaded"
    LEAVING = "leaving"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a load: at most one of `error` and `refusal`; neither where the model is loaded."""

    error: ServiceError | HttpError | None = None
    """Its data could not be had, or the container not be reached."""
    refusal: Reply | None = None
    """What the container answered in place of 200 or 409."""
    was_loaded: bool = False
    """The container said 409: it had the model already."""


def _unsettled() -> Future[Outcome]:
    future: Future[Outcome] = Future()
    # Nobody may cancel it: others wait for the same load.
    future.set_running_or_notify_cancel()
    return future


@dataclass(eq=False, slots=True)
class Model:
    """One stay of a model in the container."""

    target: str
    """TargetModel, as the caller gave it."""
    name: str
    """What the container calls it."""
    phase: Phase = Phase.LOADING
    leases: int = 0
    used: int = 0
    """When a lease was taken last, counted in leases."""
    idle: bool = True
    """Whether its load does nothing now: it has not begun, or waits until others make room."""
    before: Model | None = None
    """Its stay before, which has to end first."""
    ready: Future[Outcome] = field(default_factory=_unsettled)


@dataclass(eq=False, slots=True)
class Kept:
    """A model's folder on the disk."""

    name: str
    target: str
    bytes: int
    used: int = 0
    """As of Model; while the model is in memory, its own counts."""
    removing: bool = False


class TargetModels(Protocol):
    """What a request asks of the models of a container; `loading.Loader` is one. Usable from any thread."""

    @property
    def patience(self) -> float:
        """Seconds that a caller waits for a load."""
        ...

    def enter(self, target: str) -> Model:
        """Take a lease; starts the load where there is none. Its `ready` says when, and what came of it."""
        ...

    def used(self, model: Model, *, hit: bool) -> None:
        """The container is about to be asked; a hit did not wait for a load. For counters and traces."""
        ...

    def lost(self, model: Model) -> None:
        """The container does not know the model any more."""
        ...

    def leave(self, model: Model) -> None:
        """Give the lease back."""
        ...


class ModelCache:
    """See the module. `stay` False: a model leaves with its last lease (ModelCacheSetting Disabled)."""

    def __init__(self, *, stay: bool = True) -> None:
        self._stay = stay
        self._models: OrderedDict[str, Model] = OrderedDict()
        """The newest stay of each model, by name, least recently used first."""
        self._leaving: set[Model] = set()
        self._kept: dict[str, Kept] = {}
        self._clock = 0
        self.disk_bytes = 0
        """Of all that is kept."""

    def __iter__(self) -> Iterator[Model]:
        return iter(list(self._models.values()))

    def names(self) -> set[str]:
        """What the container may have by our doing, on its way in or out included."""
        return {*self._models, *(model.name for model in self._leaving)}

    def has(self, name: str) -> bool:
        """Whether the container has it, and keeps it for now."""
        model = self._models.get(name)
        return model is not None and model.phase is Phase.LOADED

    def lease(self, target: str, name: str) -> tuple[Model, bool]:
        """A stay of the model with one more lease, and whether it is new, so that its load has to begin."""
        model = self._models.get(name)
        new = model is None or model.phase is Phase.LEAVING
        if model is None or new:
            model = self._models[name] = Model(target, name, before=model)
        self._models.move_to_end(name)
        self._clock += 1
        model.used = self._clock
        model.leases += 1
        return model, new

    def release(self, model: Model) -> bool:
        """Take a lease back; True where the model is to be unloaded now, because models do not stay."""
        model.leases -= 1
        if self._stay or model.leases or model.phase is not Phase.LOADED:
            return False
        self._leave(model)
        return True

    def loaded(self, model: Model) -> bool:
        """The container has it; True where it is to be unloaded at once: nobody waits, and models do not stay."""
        model.phase, model.idle, model.before = Phase.LOADED, False, None
        if self._stay or model.leases:
            return False
        self._leave(model)
        return True

    def gone(self, model: Model) -> None:
        """The container does not have it: the load failed, it was unloaded, or the container lost it."""
        if model.phase is Phase.GONE:
            return
        model.phase, model.before = Phase.GONE, None
        self._leaving.discard(model)
        if self._models.get(model.name) is model:
            del self._models[model.name]
        if model.name in self._kept:
            self._kept[model.name].used = model.used

    def victim(self) -> Model | None:
        """Whom to unload to make room, marked LEAVING: the least recently used, one without leases before others."""
        loaded = [model for model in self._models.values() if model.phase is Phase.LOADED]
        chosen = next((model for model in loaded if not model.leases), loaded[0] if loaded else None)
        if chosen is not None:
            self._leave(chosen)
        return chosen

    def is_moving(self, asker: Model) -> bool:
        """Whether another model is on its way in or out, after which there may be room, or one more to unload."""
        if self._leaving or any(kept.removing for kept in self._kept.values()):
            return True
        return any(m is not asker and m.phase is Phase.LOADING and not m.idle for m in self._models.values())

    def keep(self, name: str, target: str, size: int) -> None:
        """The disk holds, or is about to hold, this model with so many bytes."""
        self.forget(name)
        self._kept[name] = Kept(name, target, size, used=self._clock)
        self.disk_bytes += size

    def forget(self, name: str) -> None:
        """The disk does not hold the model any more."""
        kept = self._kept.pop(name, None)
        self.disk_bytes -= kept.bytes if kept else 0

    def kept(self, name: str) -> Kept | None:
        """The model's folder, if there is one."""
        return self._kept.get(name)

    def disk_victim(self) -> tuple[Kept, Model | None] | None:
        """Whose folder to remove, marked so, and the stay to unload before, marked LEAVING.

        The least recently used: of those not in memory, then of those without leases, then of the others. None where
        all that is left is being loaded, unloaded or removed.
        """
        choice: tuple[int, int, Kept, Model | None] | None = None
        for kept in self._kept.values():
            model = self._models.get(kept.name)
            if kept.removing or (model is not None and model.phase is not Phase.LOADED):
                continue
            rank = 0 if model is None else 1 if not model.leases else 2
            used = kept.used if model is None else model.used
            if choice is None or (rank, used) < choice[:2]:
                choice = (rank, used, kept, model)
        if choice is None:
            return None
        _, _, kept, model = choice
        kept.removing = True
        if model is not None:
            self._leave(model)
        return kept, model

    def _leave(self, model: Model) -> None:
        model.phase = Phase.LEAVING
        self._leaving.add(model)
