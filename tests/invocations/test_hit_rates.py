"""The hit-rate curve against a cache that is really played through."""

from __future__ import annotations

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from seaproof.invocations.hit_rates import hit_rates

TRACES = st.lists(st.sampled_from("abcdefgh"), max_size=80)
SIZES = st.fixed_dictionaries({name: st.integers(0, 9) for name in "abcdefgh"})


def played(trace: list[str], sizes: dict[str, int], memory: int) -> int:
    """Hits of a cache that unloads the least recently used until a model fits, or none is left."""
    loaded, hits = OrderedDict[str, int](), 0
    for model in trace:
        if model in loaded:
            hits += 1
            loaded.move_to_end(model)
            continue
        while loaded and sum(loaded.values()) + sizes[model] > memory:
            loaded.popitem(last=False)
        if sizes[model] <= memory:
            loaded[model] = sizes[model]
    return hits


@given(TRACES, SIZES, st.integers(0, 60))
def test_it_is_what_a_cache_that_is_played_through_gives(trace: list[str], sizes: dict[str, int], memory: int):
    found = hit_rates(trace, sizes)

    assert round(found.at(memory) * len(trace)) == played(trace, sizes, memory)


@given(TRACES, st.integers(0, 9))
def test_without_sizes_memory_is_a_number_of_models(trace: list[str], memory: int):
    found = hit_rates(trace)

    assert round(found.at(memory) * len(trace)) == played(trace, dict.fromkeys("abcdefgh", 1), memory)


@given(TRACES, SIZES)
def test_the_curve_rises_to_the_best_and_ends_with_room_for_all(trace: list[str], sizes: dict[str, int]):
    found = hit_rates(trace, sizes)
    points = found.points(20)

    assert points == sorted(points)
    assert points[-1] == (found.total, found.best)
    assert round(found.best * len(trace)) == len(trace) - len(set(trace))


@given(TRACES, SIZES, st.floats(0.01, 1.0))
def test_the_memory_needed_is_the_least(trace: list[str], sizes: dict[str, int], share: float):
    found = hit_rates(trace, sizes)
    needed = found.needed(share)

    assert found.at(needed) >= share * found.best - 1e-12
    assert needed == 0 or found.at(needed - 1) < share * found.best + 1e-12


def test_a_hundred_thousand_requests_take_seconds():
    trace = [str((number * number) % 5003) for number in range(100_000)]

    assert hit_rates(trace).requests == 100_000
