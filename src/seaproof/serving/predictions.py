"""Where predictions run: one thread beside the event loop, which so stays free to answer /ping.

Plain functions run one at a time, in the order in which their requests came; `async def` functions share an event
loop of their own on that thread, so that one that blocks does not hold up the server either. Results go back in
bunches: while the thread is busy, the loop is woken once for all that have been finished.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import dropwhile
from queue import SimpleQueue
from types import CoroutineType
from typing import Any

from seaproof.http.server import new_event_loop

PATIENCE = 0.002
"""Seconds that a finished prediction may wait for others that came with it."""

Job = tuple["asyncio.Future[Any]", Callable[[Any], Any], Any]


class PlainThread:
    """A thread that runs plain functions, first come first served."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.busy_since = 0.0
        """When the call that runs now began (monotonic seconds); 0 while idle."""
        self.waiting: dict[asyncio.Future[Any], float] = {}
        """What is not answered yet, and when it came (monotonic seconds), oldest first."""
        self._loop = loop
        self._fresh: list[Job] = []
        self._jobs: SimpleQueue[list[Job]] = SimpleQueue()
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._told = False
        self._open = 0
        self._looking = False
        self._thread = threading.Thread(target=self._work, name="predictions", daemon=True)
        self._thread.start()

    def busy_for(self) -> float:
        """Seconds that the call which runs now has taken by now; 0 while idle."""
        since = self.busy_since
        return time.monotonic() - since if since else 0.0

    def stack(self, script: str) -> str:
        """Where the call is that runs now, from the first line of the script on."""
        return _stack(self._thread, script)

    def submit(self, function: Callable[[Any], Any], argument: Any, *, limited: bool = True) -> asyncio.Future[Any]:
        """Run `function(argument)` in the thread; call from the event loop only.

        A coroutine that it returns is then run on the event loop, and its result is that of the future. `limited`
        is whether it counts among what is `waiting`.
        """
        future = self._loop.create_future()
        if limited:
            self.waiting[future] = time.monotonic()
        self._open += 1
        if self._open == 1:
            self._jobs.put([(future, function, argument)])
            return future
        # One hand-over for all that this turn of the loop brings: each costs a system call and a fight for the GIL.
        if not self._fresh:
            self._loop.call_soon(self._hand_over)
        self._fresh.append((future, function, argument))
        return future

    def _hand_over(self) -> None:
        self._jobs.put(self._fresh)
        self._fresh = []
        if self._open > 1 and not self._looking:
            self._looking = True
            self._loop.call_later(PATIENCE, self._look)

    def _look(self) -> None:
        """Send off what is done while a longer prediction, which came with it, still runs."""
        self._deliver()
        self._looking = self._open > 1
        if self._looking:
            self._loop.call_later(PATIENCE, self._look)

    def _work(self) -> None:
        get, done, clock = self._jobs.get, self._done, time.monotonic
        while True:
            for future, function, argument in get():
                if future.done():  # timed out, or its caller has left, while it waited
                    done.append((future, None, None))
                    continue
                self.busy_since = clock()
                try:
                    done.append((future, function(argument), None))
                except BaseException as error:
                    done.append((future, None, error))
                self.busy_since = 0.0
            if not self._told:
                self._told = True
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        # Said before the queue is emptied: what is finished from now on wakes the loop again.
        self._told = False
        done, waiting = self._done, self.waiting
        while done:
            future, result, error = done.popleft()
            self._open -= 1
            waiting.pop(future, None)
            if future.done():
                if type(result) is CoroutineType:
                    result.close()
            elif error is not None:
                future.set_exception(error)
            elif type(result) is CoroutineType:
                follow(self._loop, future, result)
            else:
                future.set_result(result)


class AsyncThread:
    """A thread with an event loop, for functions that are `async def`."""

    def __init__(self, waiting: dict[asyncio.Future[Any], float] | None = None) -> None:
        self._asked = 0.0
        """When the loop was asked for a sign of life that it has not given yet (monotonic seconds); else 0."""
        self.waiting: dict[asyncio.Future[Any], float] = {} if waiting is None else waiting
        """As in PlainThread; that of another thread where both answer the same requests."""
        self._own = new_event_loop()
        self._thread = threading.Thread(target=self._work, name="predictions", daemon=True)
        self._thread.start()

    def busy_for(self) -> float:
        """Seconds since the loop was asked for a sign of life, if it has given none: a call holds up all others.

        It is asked by this, which has to be called now and then.
        """
        asked = self._asked
        if asked:
            return time.monotonic() - asked
        self._asked = time.monotonic()
        self._own.call_soon_threadsafe(self._live)
        return 0.0

    def stack(self, script: str) -> str:
        """As in PlainThread."""
        return _stack(self._thread, script)

    def _live(self) -> None:
        self._asked = 0.0

    def submit(
        self, function: Callable[[Any], Coroutine[Any, Any, Any]], argument: Any, *, limited: bool = True
    ) -> asyncio.Future[Any]:
        """Run `await function(argument)` there; call from the event loop of the server. An end of the future before
        that cancels it."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        if limited:
            self.waiting[future] = time.monotonic()
        running = asyncio.run_coroutine_threadsafe(function(argument), self._own)
        running.add_done_callback(lambda _: loop.call_soon_threadsafe(_copy, running, future))
        future.add_done_callback(lambda _: self._forget(future, running))
        return future

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run one to its end, from any other thread that may wait for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._own).result()

    def _forget(self, future: asyncio.Future[Any], running: concurrent.futures.Future[Any]) -> None:
        self.waiting.pop(future, None)
        running.cancel()  # does nothing to what has ended

    def _work(self) -> None:
        asyncio.set_event_loop(self._own)
        self._own.run_forever()


def _stack(thread: threading.Thread, script: str) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    frames = traceback.extract_stack(frame) if frame else []
    own = list(dropwhile(lambda frame: frame.filename != script, frames))
    return "".join(traceback.format_list(own or frames)).rstrip()


def _copy(running: concurrent.futures.Future[Any], future: asyncio.Future[Any]) -> None:
    """Hand on how a call ended, unless nobody waits for it any more."""
    if future.done():
        return
    if running.cancelled():
        future.cancel()
        return
    error = running.exception()
    if error is None:
        future.set_result(running.result())
    else:
        future.set_exception(error)


def follow(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], coroutine: Coroutine[Any, Any, Any]) -> None:
    """Let the future end as the coroutine does, and end the coroutine with it."""
    task = loop.create_task(coroutine)
    task.add_done_callback(lambda _: None if future.done() else _hand_over(task, future))
    future.add_done_callback(lambda _: task.cancel())


def _hand_over(task: asyncio.Task[Any], future: asyncio.Future[Any]) -> None:
    if task.cancelled():
        future.cancel()
    elif error := task.exception():
        future.set_exception(error)
    else:
        future.set_result(task.result())
