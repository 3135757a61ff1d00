"""The engine protocol: how batch work fans out. One ordered, bounded `map`; and the engine that is there always.

`seaproof.testing.engine_contract` holds the behaviour that every engine shares; read it beside this file.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

Work = Callable[[Any], Any]
"""Does one item. What it raises ends the map at the item's place in the order."""
Opener = Callable[[int], AbstractContextManager[Work]]
"""Makes the worker of a number, such as a container and the connection to it, and clears it away afterwards.

It can be pickled, and so can items and results, where the engine is to work in other processes.
"""
Map = Callable[[Iterable[Any], int], Iterator[Any]]
"""`map(items, width)`: the results in the order of the items, at most `width` of them worked on by each worker.

Items are taken no further ahead than the work needs, so what is held is a small multiple of width and workers.
Closing the iterator ends the work: nothing more is begun.
"""


class Engine(Protocol):
    """Where the work is done."""

    name: str

    def open(self, opener: Opener, workers: int) -> AbstractContextManager[Map]:
        """So many workers, made together, cleared away when the block ends. What their making raises is raised."""
        ...


AHEAD = 2
"""Items under way or done and not yet given on, for each one that is worked on: a slow one holds up the order only."""


class ThreadEngine:
    """Threads of this process, which wait for containers most of the time."""

    name = "threads"

    @contextmanager
    def open(self, opener: Opener, workers: int) -> Iterator[Map]:
        with ExitStack() as stack:
            made = _open_all(stack, opener, workers)
            yield lambda items, width: _map(made, items, width)


def _open_all(stack: ExitStack, opener: Opener, workers: int) -> list[Work]:
    if workers == 1:
        return [stack.enter_context(opener(0))]
    contexts = [opener(number) for number in range(workers)]
    with ThreadPoolExecutor(workers, thread_name_prefix="open") as pool:
        futures = [pool.submit(context.__enter__) for context in contexts]
    made = []
    for context, future in zip(contexts, futures, strict=True):
        if future.exception() is None:
            stack.push(context)
            made.append(future.result())
    for future in futures:
        future.result()
    return made


def _map(made: list[Work], items: Iterable[Any], width: int) -> Iterator[Any]:
    """Each item goes to the worker with the fewest under way."""
    busy = dict.fromkeys(range(len(made)), 0)
    lock = threading.Lock()

    def run(item: Any) -> Any:
        with lock:
            number = min(busy, key=busy.__getitem__)
            busy[number] += 1
        try:
            return made[number](item)
        finally:
            with lock:
                busy[number] -= 1

    total = max(1, width) * len(made)
    pending: deque[Future[Any]] = deque()
    pool = ThreadPoolExecutor(total, thread_name_prefix="batch")
    try:
        for item in items:
            pending.append(pool.submit(run, item))
            del item
            while pending and (len(pending) >= AHEAD * total or pending[0].done()):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
