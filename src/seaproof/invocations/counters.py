"""What is counted of the models of one endpoint, over all its instances. In memory: it ends with the coordinator."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(slots=True)
class Counts:
    """Of one model. Sizes in bytes, times in seconds."""

    invocations: int = 0
    hits: int = 0
    """Invocations that found it loaded."""
    loads: int = 0
    evictions: int = 0
    """How often it was unloaded to make room for another."""
    failures: int = 0
    """Loads that failed."""
    bytes: int = 0
    """On disk, unpacked."""
    load_seconds: float = 0.0
    """Of the last load: fetching, unpacking, making room, and the container's own loading."""
    last_use: float = 0.0
    """Since the epoch; 0.0 for never."""


class Tally:
    """The counts of all models, by TargetModel. Usable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_target: dict[str, Counts] = {}

    def used(self, target: str, *, hit: bool) -> None:
        """One invocation."""
        with self._lock:
            counts = self._of(target)
            counts.invocations += 1
            counts.hits += hit
            counts.last_use = time.time()

    def loaded(self, target: str, size: int, seconds: float) -> None:
        """One load that ended well."""
        with self._lock:
            counts = self._of(target)
            counts.loads += 1
            counts.bytes, counts.load_seconds = size, seconds

    def failed(self, target: str) -> None:
        """One load that did not."""
        with self._lock:
            self._of(target).failures += 1

    def evicted(self, target: str) -> None:
        """Unloaded to make room."""
        with self._lock:
            self._of(target).evictions += 1

    def snapshot(self) -> dict[str, Counts]:
        """All counts at this moment, copied."""
        with self._lock:
            return {target: replace(counts) for target, counts in self._by_target.items()}

    def _of(self, target: str) -> Counts:
        counts = self._by_target.get(target)
        if counts is None:
            counts = self._by_target[target] = Counts()
        return counts


def as_json(counts: Counts) -> dict[str, Any]:
    """One model's counts as the local server gives them."""
    return asdict(counts)
