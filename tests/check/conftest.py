"""Marks that say of which checks a test has a bad or a good example: held against what was seen in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from containers import SEEN

from seaproof.check.check import FAILED, PASSED, WARNED


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """What fixtures see belongs to the first test that asks for them."""
    SEEN.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """`bad("SP034")`: the check found something in this test. `good("SP034")`: it passed a container in it."""
    yield
    found = {id for id, outcome in SEEN if outcome in (FAILED, WARNED)}
    passed = {id for id, outcome in SEEN if outcome == PASSED}
    for name, seen in (("bad", found), ("good", passed)):
        claimed = {id for mark in item.iter_markers(name) for id in mark.args}
        assert claimed <= seen, f"no {name} example of {sorted(claimed - seen)} in this test"
