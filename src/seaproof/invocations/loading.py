"""Loads and unloads the models of one multi-model container: does, in threads, what `models` decides.

    fetch the model's data (unless it is on disk) -> POST /models -> 200 or 409: loaded
                                                                  -> 507: DELETE the least recently used, again
                                                                  -> anything else: failed, for all who wait

A load belongs to no caller: it goes on when the one who asked first has gone away. All who want the same model wait
for the same load; loads of different models go on beside each other.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from seaproof.errors import HttpError, ServiceError
from seaproof.invocations.counters import Tally
from seaproof.invocations.models import Kept, Model, ModelCache, Outcome, Phase
from seaproof.invocations.models_api import ALREADY_LOADED, LOADED, NO_MEMORY, ModelsApi


class Shelf(Protocol):
    """Where the container finds its models. Methods are called from any thread, `fetch` never twice at once for one
    name; errors are ServiceError, as the caller of the endpoint is to see them."""

    def name(self, target: str) -> str:
        """What the container is to call the model `target`; always the same."""
        ...

    def url(self, name: str) -> str:
        """Where the container sees it."""
        ...

    def held(self) -> list[tuple[str, str, int]]:
        """What is there already: (name, target, bytes)."""
        ...

    def missing(self, target: str, name: str) -> int | None:
        """About how many bytes `fetch` would bring; None where the model is there and unchanged."""
        ...

    def fetch(self, target: str, name: str, check: Callable[[], None]) -> int:
        """Put the model where the container finds it; its bytes there. `check` is called between pieces and raises
        where the work is no longer wanted."""
        ...

    def remove(self, name: str) -> None:
        """Remove the model, or what there is of it."""
        ...


@dataclass(frozen=True)
class Options:
    """How models are held. Times in seconds."""

    patience: float = 60.0
    """How long a caller waits for a load."""
    load_timeout: float = 360.0
    """How long a load may take."""
    disk_bytes: int = 0
    """What all models may take on the disk; 0 for no bound."""
    stay: bool = True
    """False with ModelCacheSetting Disabled: loaded for a call, unloaded after it."""
    parallel: int = 32
    """Loads at a time; more wait for their turn."""


class _Closed(Exception):
    """The container is being stopped."""


class Loader:
    """The models of one container; see the module and `models.TargetModels`. `record` is told target and bytes of
    each use."""

    def __init__(
        self,
        api: ModelsApi,
        shelf: Shelf,
        tally: Tally,
        options: Options,
        record: Callable[[str, int], None] | None = None,
    ) -> None:
        self._api, self._shelf, self._tally, self._options, self._record = api, shelf, tally, options, record
        self._names: dict[str, str] = {}
        self._cache = ModelCache(stay=options.stay)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._changes = 0
        self._queue: deque[Model] = deque()
        self._working = 0
        self._closed = False
        self._line: deque[Model] = deque()
        """Loads that found no memory, in the order of their asking; the first alone tries again."""
        self._inherit(shelf.held())

    @property
    def patience(self) -> float:
        """Seconds that a caller waits for a load."""
        return self._options.patience

    def enter(self, target: str) -> Model:
        """Take a lease; see TargetModels."""
        name = self._names.get(target)
        if name is None:
            name = self._names[target] = self._shelf.name(target)
        with self._lock:  # not by way of the condition, whose own entry costs more than all that is done here
            model, new = self._cache.lease(target, name)
            if new:
                self._begin(model)
        return model

    def used(self, model: Model, *, hit: bool) -> None:
        """The container is about to be asked; see TargetModels."""
        self._tally.used(model.target, hit=hit)
        if self._record is not None:
            kept = self._cache.kept(model.name)
            self._record(model.target, kept.bytes if kept else 0)

    def lost(self, model: Model) -> None:
        """The container does not know the model any more."""
        with self._changed:
            if model.phase is Phase.LOADED:
                self._cache.gone(model)
                self._note_change()

    def leave(self, model: Model) -> None:
        """Give the lease back."""
        with self._lock:
            unload = self._cache.release(model)
            if model.phase is Phase.LEAVING and not model.leases:
                self._changed.notify_all()
        if unload:
            self._spawn(lambda: self._unload(model))

    def loaded(self) -> list[str]:
        """The TargetModels in memory at this moment, least recently used first."""
        with self._changed:
            return [model.target for model in self._cache if model.phase is Phase.LOADED]

    def has(self, target: str) -> bool:
        """Whether the container has the model at this moment."""
        return self._cache.has(self._names.get(target, ""))

    def describe(self, target: str) -> Any:
        """What the container says of a model, as JSON; None where that cannot be read."""
        with suppress(HttpError):
            return self._api.describe(self._shelf.name(target))
        return None

    @property
    def disk_bytes(self) -> int:
        """What the models take on the disk at this moment."""
        return self._cache.disk_bytes

    def close(self) -> None:
        """The container is being stopped: nothing is loaded any more, and who waits is told."""
        with self._changed:
            self._closed = True
            self._note_change()

    def _inherit(self, held: list[tuple[str, str, int]]) -> None:
        """Take over what an earlier coordinator stored, and had the container load."""
        listed: set[str] = set()
        if held:
            # One that does not answer is asked to load again, and says 409 then.
            with suppress(HttpError):
                listed = set(self._api.names())
        for name, target, size in held:
            self._names[target] = name
            self._cache.keep(name, target, size)
            if name in listed:
                model, _ = self._cache.lease(target, name)
                self._cache.loaded(model)
                model.ready.set_result(Outcome(was_loaded=True))
                self._cache.release(model)

    def _begin(self, model: Model) -> None:
        self._queue.append(model)
        if self._working < self._options.parallel:
            self._working += 1
            self._spawn(self._work)

    def _spawn(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name=f"models of {self._api.where}", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._queue:
                    self._working -= 1
                    return
                model = self._queue.popleft()
                model.idle = False
            self._load(model)

    def _load(self, model: Model) -> None:
        """One load from start to end; whatever happens, who waits is told."""
        began = time.monotonic()
        try:
            outcome = self._try(model, began + self._options.load_timeout)
        except (ServiceError, HttpError, _Closed) as error:
            outcome = Outcome(self._stopping() if self._closed or isinstance(error, _Closed) else error)
        except Exception as error:
            outcome = Outcome(
                ServiceError("InternalFailure", f"seaproof failed to load a model: {error!r}", status=500)
            )
        failed = bool(outcome.error or outcome.refusal)
        with self._changed:
            unload = False
            if failed:
                self._cache.gone(model)
            else:
                unload = self._cache.loaded(model)
            kept = self._cache.kept(model.name)
            self._note_change()
        if failed:
            self._tally.failed(model.target)
        else:
            self._tally.loaded(model.target, kept.bytes if kept else 0, time.monotonic() - began)
        model.ready.set_result(outcome)
        if unload:
            self._unload(model)

    def _try(self, model: Model, deadline: float) -> Outcome:
        self._wait(model, lambda: self._may_begin(model), deadline)
        self._store(model, deadline)
        url = self._shelf.url(model.name)
        try:
            while True:
                self._check(deadline)
                reply = self._api.load(model.name, url, self._left(deadline))
                if reply.status in (LOADED, ALREADY_LOADED):
                    return Outcome(was_loaded=reply.status == ALREADY_LOADED)
                if reply.status != NO_MEMORY or not self._make_room(model, deadline):
                    return Outcome(refusal=reply)
        finally:
            self._step_out(model)

    def _stopping(self) -> HttpError:
        # As if nothing listened: another instance may take the request.
        return HttpError("refused", "the instance is being stopped", where=self._api.where)

    def _may_begin(self, model: Model) -> bool:
        """Whether its stay before has ended, and nobody removes its folder."""
        kept = self._cache.kept(model.name)
        left = model.before is None or model.before.phase is Phase.GONE
        return left and not (kept and kept.removing)

    def _make_room(self, model: Model, deadline: float) -> bool:
        """Unload one model, or wait until there may be room; False where neither is left to do.

        Who finds nobody to unload waits in line and only the first tries again: many that ask at each change would
        keep the container busy with refusing.
        """
        with self._changed:
            if model not in self._line:
                self._line.append(model)
            is_first = self._line[0] is model
        if not is_first:
            self._wait(model, lambda: self._line[0] is model, deadline)
            return True
        with self._changed:
            victim = self._cache.victim()
            moving = self._cache.is_moving(model)
            seen = self._changes
        if victim is not None:
            self._step_out(model)
            self._unload(victim, evicted=True)
        elif moving:
            self._wait(model, lambda: self._changes != seen or not self._cache.is_moving(model), deadline)
        return victim is not None or moving

    def _step_out(self, model: Model) -> None:
        with self._changed:
            if model in self._line:
                self._line.remove(model)
                self._changed.notify_all()

    def _unload(self, model: Model, *, evicted: bool = False) -> None:
        """Wait until the last lease is given back, and have the container forget the model."""
        with self._changed:
            self._changed.wait_for(lambda: not model.leases or self._closed)
        if not self._closed:
            # Where it does not answer it is dying, and its replacement has nothing loaded.
            with suppress(HttpError):
                self._api.unload(model.name)
        if evicted:
            self._tally.evicted(model.target)
        with self._changed:
            self._cache.gone(model)
            self._note_change()

    def _store(self, model: Model, deadline: float) -> None:
        """Have the model's data on the disk, within the bound. An archive says too little: where it does not fit
        unpacked it is removed, and fetched again once there is room for all of it."""
        size = self._shelf.missing(model.target, model.name)
        if size is None:
            return
        self._clear(model.name)
        while True:
            self._reserve(model, size, deadline)
            try:
                size = self._shelf.fetch(model.target, model.name, lambda: self._check(deadline))
                with self._changed:
                    self._cache.keep(model.name, model.target, size)
                if self._trim(size):
                    return
            except BaseException:
                self._clear(model.name)
                raise
            self._clear(model.name)

    def _reserve(self, model: Model, size: int, deadline: float) -> None:
        """Set so many bytes of the disk aside, removing others; ServiceError where there can never be so many."""
        bound = self._options.disk_bytes
        if bound and size > bound:
            raise ServiceError(
                "ValidationError",
                f"Failed to store model data of {model.target}: its {size:,} bytes are more than the {bound:,} that "
                "all models of an instance may take on the disk (setting models_disk).",
            )
        while True:
            with self._changed:
                if not bound or self._cache.disk_bytes + size <= bound:
                    self._cache.keep(model.name, model.target, size)
                    return
                found = self._cache.disk_victim()
                seen = self._changes
            if found is not None:
                self._discard(*found)
            else:
                # All that is there is being loaded; it is to be unloaded once it is.
                self._wait(model, partial(self._has_changed, seen), deadline)

    def _trim(self, own: int) -> bool:
        """Remove others until the disk holds no more than it may; False where that is not possible now."""
        bound = self._options.disk_bytes
        while bound:
            with self._changed:
                if self._cache.disk_bytes <= bound:
                    break
                found = self._cache.disk_victim() if own <= bound else None
            if found is None:
                return False
            self._discard(*found)
        return True

    def _discard(self, kept: Kept, model: Model | None) -> None:
        if model is not None:
            self._unload(model, evicted=True)
        self._clear(kept.name)

    def _clear(self, name: str) -> None:
        self._shelf.remove(name)
        with self._changed:
            self._cache.forget(name)
            self._note_change()

    def _wait(self, model: Model, condition: Callable[[], bool], deadline: float) -> None:
        """Wait until the condition holds, asked after every change. Others do not count on this load meanwhile."""
        with self._changed:
            if not condition():
                model.idle = True
                # Whoever counted on this load looks again.
                self._changed.notify_all()
                self._changed.wait_for(lambda: condition() or self._closed, self._left(deadline))
                model.idle = False
        self._check(deadline)

    def _has_changed(self, seen: int) -> bool:
        return self._changes != seen

    def _note_change(self) -> None:
        self._changes += 1
        self._changed.notify_all()

    def _check(self, deadline: float) -> None:
        if self._closed:
            raise _Closed
        self._left(deadline)

    def _left(self, deadline: float) -> float:
        left = deadline - time.monotonic()
        if left <= 0:
            what = f"the model was not loaded within {self._options.load_timeout:g} s"
            raise HttpError("timeout", what, where=self._api.where)
        return left
