"""The cache of models without a network: what a container with so much room would see, whatever the order of events."""

from __future__ import annotations

from collections import OrderedDict

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from seaproof.invocations.models import ModelCache, Phase

NAMES = [f"m{n}" for n in range(6)]


def hold(cache: ModelCache, name: str):
    """A model that is loaded and has one lease."""
    model, new = cache.lease(name, name)
    if new:
        cache.loaded(model)
    return model


@given(st.lists(st.sampled_from(NAMES), max_size=60), st.integers(1, 6))
def test_one_after_another_it_is_plain_lru(requests: list[str], room: int):
    cache, plain, loads, expected = ModelCache(), OrderedDict[str, None](), 0, 0

    for name in requests:
        if name not in plain:
            expected += 1
            if len(plain) == room:
                plain.popitem(last=False)
            plain[name] = None
        plain.move_to_end(name)
        model, new = cache.lease(name, name)
        if new:
            loads += 1
            if sum(m.phase is Phase.LOADED for m in cache) == room:
                victim = cache.victim()
                assert victim is not None
                cache.gone(victim)
            cache.loaded(model)
        cache.release(model)

    assert loads == expected
    assert [model.name for model in cache] == list(plain)


def test_a_model_in_use_is_the_last_to_go_and_takes_no_new_leases_then():
    cache = ModelCache()
    busy, idle = hold(cache, "busy"), hold(cache, "idle")
    cache.release(idle)

    assert cache.victim() is idle
    assert cache.victim() is busy
    assert cache.victim() is None
    again, new = cache.lease("busy", "busy")

    assert new
    assert again.before is busy
    assert (busy.phase, busy.leases, again.leases) == (Phase.LEAVING, 1, 1)


def test_folders_of_models_not_in_memory_go_first_then_idle_ones():
    cache = ModelCache()
    for name in ("a", "b", "c", "d"):
        cache.keep(name, name, 10)
    busy, idle = hold(cache, "a"), hold(cache, "b")
    cache.release(idle)
    cache.lease("c", "c")

    found = [(kept.name, model) for kept, model in (cache.disk_victim() or (None, None) for _ in range(3)) if kept]

    assert found == [("d", None), ("b", idle), ("a", busy)]
    assert cache.disk_victim() is None


class Life(RuleBasedStateMachine):
    """Leases, loads, evictions, losses in any order; the container is a set."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = ModelCache()
        self.held: list = []
        self.loading: list = []
        self.leaving: list = []
        self.container: set[str] = set()

    @rule(name=st.sampled_from(NAMES))
    def lease(self, name: str) -> None:
        model, new = self.cache.lease(name, name)
        self.held.append(model)
        if new:
            self.loading.append(model)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        model = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        assert not self.cache.release(model)

    @precondition(lambda self: any(m.before is None or m.before.phase is Phase.GONE for m in self.loading))
    @rule(data=st.data(), well=st.booleans())
    def end_a_load(self, data: st.DataObject, well: bool) -> None:
        able = [m for m in self.loading if m.before is None or m.before.phase is Phase.GONE]
        model = data.draw(st.sampled_from(able))
        self.loading.remove(model)
        if well:
            self.container.add(model.name)
            self.cache.loaded(model)
        else:
            self.cache.gone(model)

    @rule()
    def evict(self) -> None:
        model = self.cache.victim()
        if model is not None:
            self.leaving.append(model)

    @precondition(lambda self: any(not m.leases for m in self.leaving))
    @rule()
    def unload(self) -> None:
        model = next(m for m in self.leaving if not m.leases)
        self.leaving.remove(model)
        self.container.discard(model.name)
        self.cache.gone(model)

    @invariant()
    def what_is_leased_and_loaded_is_in_the_container(self) -> None:
        for model in self.cache:
            assert (model.phase is Phase.LOADED) <= (model.name in self.container)
        for model in self.held:
            assert model.phase is not Phase.LEAVING or model.name in self.container

    @invariant()
    def no_model_is_loaded_twice_at_a_time(self) -> None:
        names = [model.name for model in self.loading]
        assert len(names) == len(set(names))

    @invariant()
    def leases_are_counted(self) -> None:
        for model in {*self.held, *self.cache}:
            assert model.leases == self.held.count(model)

    @invariant()
    def whoever_waits_can_count_on_somebody(self) -> None:
        assert self.cache.is_moving(None) == bool(self.leaving)  # type: ignore[arg-type]


Life.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase
