"""What every engine does: one ordered, bounded map over workers that are made before and cleared away after it.

Subclass it in a test module and give it a fixture `engine`. What workers do is written down in a file, as they may live
in other processes.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seaproof.batch.engine import AHEAD, Engine, Work


@dataclass(frozen=True)
class Recorded:
    """Opens workers that write down what happens to them, and do what an item says.

    An item is a number; the work takes `delay` seconds where it is divisible by 3, and raises for `broken`.
    """

    file: Path
    delay: float = 0.0
    broken: int = -1
    unopened: int = -1
    """The worker that cannot be made."""

    @contextmanager
    def __call__(self, number: int) -> Iterator[Work]:
        if number == self.unopened:
            raise LookupError(f"worker {number} cannot be made")
        self._note("open", number)
        try:
            yield lambda item: self._do(number, item)
        finally:
            self._note("close", number)

    def _do(self, number: int, item: int) -> int:
        self._note("begin", number, item)
        if item % 3 == 0:
            time.sleep(self.delay)
        self._note("end", number, item)
        if item == self.broken:
            raise ValueError(f"item {item} is broken")
        return item * item

    def _note(self, *what: object) -> None:
        descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(descriptor, " ".join(map(str, what)).encode() + b"\n")
        os.close(descriptor)

    def events(self) -> list[list[str]]:
        """What was written down, in order."""
        return [line.split() for line in self.file.read_text().splitlines()] if self.file.exists() else []

    def begun(self) -> list[int]:
        """The items that were begun."""
        return [int(event[2]) for event in self.events() if event[0] == "begin"]


@dataclass(frozen=True)
class Dying:
    """For engines whose workers are other processes: these are killed at item 7, once."""

    file: Path

    @contextmanager
    def __call__(self, number: int) -> Iterator[Work]:
        def work(item: Any) -> Any:
            if item == 7 and not self.file.exists():
                self.file.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return item

        yield work


class EngineContract:
    """The behaviour that all engines share."""

    @pytest.fixture
    def opener(self, tmp_path: Path) -> Recorded:
        return Recorded(tmp_path / "events", delay=0.05)

    def test_results_come_in_the_order_of_the_items(self, engine: Engine, opener: Recorded) -> None:
        with engine.open(opener, 2) as map:
            found = list(map(range(20), 2))

        assert found == [item * item for item in range(20)]
        assert sorted(opener.begun()) == list(range(20))

    def test_no_worker_has_more_under_way_than_the_width_and_all_work(self, engine: Engine, opener: Recorded) -> None:
        with engine.open(opener, 2) as map:
            list(map((3 * item for item in range(16)), 2))

        now: Counter[str] = Counter()
        most: Counter[str] = Counter()
        for event in opener.events():
            now[event[1]] += {"begin": 1, "end": -1}.get(event[0], 0)
            most[event[1]] = max(most[event[1]], now[event[1]])
        assert max(most.values()) == 2
        assert set(most) == {"0", "1"}

    def test_items_are_taken_no_further_ahead_than_the_work_needs(self, engine: Engine, opener: Recorded) -> None:
        taken: list[int] = []

        def items() -> Iterator[int]:
            for item in range(1000):
                taken.append(item)
                yield item

        with engine.open(opener, 1) as map:
            results = map(items(), 2)
            for number in range(10):
                next(results)
                assert len(taken) <= number + 1 + AHEAD * 2
            _close(results)

        assert len(taken) < 20

    def test_what_the_work_raises_is_raised_at_its_place(self, engine: Engine, tmp_path: Path) -> None:
        opener = Recorded(tmp_path / "events", broken=4)
        with engine.open(opener, 1) as map:
            results = map(range(100), 1)

            assert [next(results) for _ in range(4)] == [0, 1, 4, 9]
            with pytest.raises(ValueError, match="item 4 is broken"):
                next(results)
            _close(results)

        assert len(opener.begun()) < 20

    def test_nothing_is_begun_after_the_iterator_was_closed(self, engine: Engine, opener: Recorded) -> None:
        with engine.open(opener, 1) as map:
            results = map(range(1000), 1)
            next(results)
            _close(results)
            begun = len(opener.begun())
            time.sleep(0.1)

            assert len(opener.begun()) <= begun + AHEAD

    def test_workers_are_cleared_away(self, engine: Engine, opener: Recorded) -> None:
        with engine.open(opener, 2) as map:
            assert list(map([], 3)) == []
            assert list(map([1], 3)) == [1]
        with pytest.raises(KeyError), engine.open(opener, 1):
            raise KeyError("of the caller")

        happened = Counter(event[0] for event in opener.events())
        assert happened == {"open": 3, "begin": 1, "end": 1, "close": 3}

    def test_what_the_making_of_a_worker_raises_is_raised_and_the_others_are_cleared_away(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        opener = Recorded(tmp_path / "events", unopened=1)
        with pytest.raises(LookupError, match="worker 1 cannot be made"), engine.open(opener, 2):
            pass

        happened = Counter(event[0] for event in opener.events())
        assert happened["open"] == happened["close"]

    def test_bytes_of_several_megabytes_go_there_and_back(self, engine: Engine, tmp_path: Path) -> None:
        with engine.open(_echoes, 1) as map:
            found = list(map((bytes([number]) * 3_000_000 for number in range(5)), 2))

        assert found == [bytes([number]) * 3_000_000 for number in range(5)]


@contextmanager
def _echoes(number: int) -> Iterator[Work]:
    yield lambda item: item


def _close(results: Iterator[Any]) -> None:
    close = getattr(results, "close", None)
    if close is not None:
        close()
