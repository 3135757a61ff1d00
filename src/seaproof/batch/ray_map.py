"""One ordered, bounded map over the actors of a Ray, of which some may be lost on the way."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from seaproof.batch.engine import AHEAD
from seaproof.errors import SeaproofError

POLL = 0.2
"""Seconds between two looks at whether there is still something to wait for."""


@dataclass(eq=False)
class _Sent:
    """An item under way."""

    item: Any
    number: int
    """Of the actor that has it."""
    reference: Any


class RayMap:
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
            while pending and (len(pending) >= most or is_done(self._ray, pending[0].reference)):
                if not self._await(lambda: [pending[0].reference]):
                    return
                yield get(self._ray, pending.popleft().reference)
        while pending and self._await(lambda: [pending[0].reference]):
            yield get(self._ray, pending.popleft().reference)

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
            if not wanted or self._ray.wait(wanted, num_returns=1, timeout=POLL)[0]:
                return True
            self._look_after()
        return False

    def _look_after(self) -> None:
        """Call every actor; the work of those that have been silent for too long goes to the others."""
        now = time.monotonic()
        for number, (call, since) in enumerate(self._calls):
            if call is None or is_done(self._ray, call):
                if call is not None:
                    self._silent.discard(number)
                self._calls[number] = (self._actors[number].is_here.remote(), now)
            elif now - since > self._patience:
                self._silent.add(number)
        if len(self._silent) == len(self._actors):
            return  # there is nobody else
        for sent in self._under_way:
            if sent.number in self._silent and not is_done(self._ray, sent.reference):
                busy = self._busy()
                number = min(busy, key=lambda each: len(busy[each]))
                sent.number, sent.reference = number, self._actors[number].do.remote(sent.item)


def is_done(ray: ModuleType, reference: Any) -> bool:
    done, _ = ray.wait([reference], timeout=0)
    return bool(done)


def get(ray: ModuleType, reference: Any) -> Any:
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
