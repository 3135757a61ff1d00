"""How often models would be found loaded, for every amount of memory at once, from a trace of which were asked for.

Where the least recently used models are unloaded, a container of any size holds the top of one and the same stack: the
models in the order of their last use. So a request finds its model loaded exactly where the memory holds that model
and all those used since its own last use. That many bytes, the stack distance, is found in one pass.

Source: R. L. Mattson et al., "Evaluation techniques for storage hierarchies", IBM Systems Journal 9 (1970). The
running sums are kept in a Fenwick tree over the requests, as P. M. Fenwick describes it (1994).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class HitRates:
    """The hit rate of a trace as a function of memory, in the unit of the sizes."""

    requests: int
    models: int
    total: int
    """What all models take together: with so much, each is loaded once."""
    distances: tuple[int, ...]
    """Of all requests for a model that was asked for before, smallest first."""

    def at(self, memory: float) -> float:
        """The share of requests, 0.0 to 1.0, that find their model loaded."""
        return bisect_right(self.distances, memory) / self.requests if self.requests else 0.0

    @property
    def best(self) -> float:
        """The hit rate with memory for all: each model's first request never hits."""
        return len(self.distances) / self.requests if self.requests else 0.0

    def needed(self, share: float) -> int:
        """The least memory with which the hit rate reaches this share of the best."""
        if not self.distances:
            return 0
        return self.distances[max(0, math.ceil(share * len(self.distances)) - 1)]

    def points(self, count: int = 200) -> list[tuple[int, float]]:
        """The curve as about so many (memory, hit rate), each at a step of it, from 0 to `total`."""
        steps = sorted(set(self.distances))
        chosen = steps if len(steps) <= count else [steps[n * (len(steps) - 1) // (count - 1)] for n in range(count)]
        inner = [(memory, self.at(memory)) for memory in chosen]
        end = [] if chosen and chosen[-1] == self.total else [(self.total, self.best)]
        return [(0, self.at(0)), *(point for point in inner if point[0] > 0), *end]


def hit_rates(trace: Sequence[str], sizes: Mapping[str, int] | None = None) -> HitRates:
    """The hit rates of a trace, oldest request first. `sizes` has the bytes of each model; without, each counts one.

    Takes time in n log n and memory in n for n requests.
    """
    sums = [0] * (len(trace) + 1)

    def add(place: int, size: int) -> None:
        place += 1
        while place < len(sums):
            sums[place] += size
            place += place & -place

    def up_to(place: int) -> int:
        total = 0
        while place:
            total += sums[place]
            place &= place - 1
        return total

    last: dict[str, int] = {}
    distances: list[int] = []
    total = 0
    for now, model in enumerate(trace):
        size = 1 if sizes is None else sizes[model]
        before = last.get(model)
        if before is None:
            total += size
        else:
            # All models stand at the place of their last request; those from this one's on are above it in the stack.
            distances.append(total - up_to(before))
            add(before, -size)
        add(now, size)
        last[model] = now
    return HitRates(len(trace), len(last), total, tuple(sorted(distances)))
