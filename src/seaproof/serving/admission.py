"""Whether there is memory for one more model: asked before it is loaded, and watched while it loads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from seaproof.errors import RequestError
from seaproof.serving.memory import MIB, Memory, family, proportional
from seaproof.serving.orders import Process

LOOK = 0.01
"""Seconds between two looks at the memory while a model loads."""


@dataclass(eq=False)
class Loading:
    """A model that was let in and is not loaded yet."""

    admission: Admission
    estimate: int
    taken: int = 0
    """Bytes that it had when last looked at."""
    pid: int = 0
    """0 until its process is there."""
    refused: RequestError | None = None
    """What to answer: it was killed for want of memory, which is about to be free."""

    async def watch(self, process: Process, kill: Callable[[], None]) -> RequestError | None:
        """Wait until the process is settled; kill it where memory gets short, and return what to answer then."""
        pause = LOOK
        while not process.settled.is_set():
            try:
                await asyncio.wait_for(process.settled.wait(), pause)
            except (TimeoutError, asyncio.TimeoutError):
                began = time.monotonic()
                self.pid = process.pid
                self._look("memory ran short while it was loading", kill)
                # To look costs more the more there is to see, and must not become the main work.
                pause = max(LOOK, 5 * (time.monotonic() - began))
        # One after the other, or two that were quicker than a look would each be refused for the other's sake.
        async with self.admission.settling:
            self.pid = process.pid
            if process.ready:
                self._look("it took more than there is", kill)
            if self.refused is not None or not process.ready:
                await process.ended.wait()
        return self.refused

    def _look(self, why: str, kill: Callable[[], None]) -> None:
        if self.refused is None and self.pid and self.admission.is_short(self):
            self.refused = self.admission.refusal(why, None)
            kill()


class Admission:
    """Lets models in. An estimate is the folder's size on disk and what every earlier model took beyond its own; it
    refuses only what can hardly fit, and the watch refuses the rest."""

    def __init__(self, memory: Memory, own: tuple[int, ...], loaded: Callable[[], int]) -> None:
        self._memory = memory
        self._own = own
        self._loaded = loaded
        self._loading: list[Loading] = []
        self.settling = asyncio.Lock()
        self._beyond: int | None = None
        """The least that a model took beyond its size on disk."""

    def learn(self, memory: int, size: int) -> None:
        """A model of this size on disk took so much memory for itself."""
        beyond = max(0, memory - size)
        self._beyond = beyond if self._beyond is None else min(self._beyond, beyond)

    def kills(self) -> int:
        """As `Memory.kills`."""
        return self._memory.kills()

    @contextmanager
    def admit(self, size: int) -> Iterator[Loading]:
        """Let a model of this size on disk in while it is loaded. RequestError 507 where there is no room for it."""
        estimate = size + (self._beyond or 0)
        promised = sum(max(0, other.estimate - other.taken) for other in self._loading)
        if estimate > self.room() - promised:
            raise self.refusal("there is no room for it", estimate)
        loading = Loading(self, estimate)
        self._loading.append(loading)
        try:
            yield loading
        finally:
            self._loading.remove(loading)

    def is_short(self, loading: Loading) -> bool:
        """Whether this one is to go. Of several that load, it is the one that has taken most."""
        if self.room() >= 0 or any(other.refused for other in self._loading):
            return False
        self._look()
        return loading.taken >= max(other.taken for other in self._loading)

    def refusal(self, why: str, estimate: int | None) -> RequestError:
        """The 507 to answer."""
        needs = f"; it needs about {estimate / MIB:.0f} MiB" if estimate is not None else ""
        left = max(0, self.room() + self._memory.reserve) / MIB
        limit, reserve = self._memory.limit / MIB, self._memory.reserve / MIB
        return RequestError(
            507,
            f"{why}{needs}; of {limit:.0f} MiB {left:.0f} are free, and {reserve:.0f} are kept for requests",
            where="memory",
            next_step="Unload another model first, or give the container more memory.",
        )

    def room(self) -> int:
        """Bytes that may be taken, the reserve kept; negative where that is touched."""
        if not self._memory.counts_use:
            return self._memory.room(0)
        self._look()
        loading = sum(other.taken for other in self._loading)
        return self._memory.room(proportional(self._own) + self._loaded() + loading)

    def _look(self) -> None:
        for other in self._loading:
            if other.pid:
                other.taken = proportional(family(other.pid))
