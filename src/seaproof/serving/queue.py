"""The requests that wait for the next predict call: which go together, and when.

Nothing is waited for while the model is idle: a lone request goes at once. While a call runs, what arrives is
collected, and goes together when it ends; so the batch is as large as the load makes it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from seaproof.contract.environ import ServingEnviron
from seaproof.http.message import Request, Response
from seaproof.serving.batching import Answers, Batcher, Job
from seaproof.serving.pace import Pace
from seaproof.serving.predictions import PlainThread, follow
from seaproof.serving.predictor import Parts
from seaproof.serving.replies import failure_reply

TAKEN_BYTES = 256 * 1024
"""Bodies of one batch: their decoding holds up the first of them no longer than some milliseconds."""


class BatchQueue:
    """Collects requests on the event loop, and has them answered in batches, one batch at a time."""

    def __init__(
        self,
        batcher: Batcher,
        thread: PlainThread,
        environ: ServingEnviron,
        stream: Callable[[Parts], Any],
        *,
        on_loop: bool = False,
    ) -> None:
        self._batcher = batcher
        self._thread = thread
        self._delay = environ.max_batch_delay
        self._most = environ.max_batch_rows
        self._stream = stream
        self._pace = Pace(environ)
        self._on_loop = on_loop
        """Whether predictions are so quick that they run on the event loop itself."""
        self._loop = asyncio.get_running_loop()
        self._fresh: deque[Job] = deque()
        self._running = False
        self._timer: asyncio.Handle | None = None

    def submit(self, request: Request) -> asyncio.Future[Response]:
        """The answer to come; call from the event loop only."""
        future: asyncio.Future[Response] = self._loop.create_future()
        self._thread.waiting[future] = time.monotonic()
        self._fresh.append(Job(future, request))
        if not self._running and (self._timer is None or len(self._fresh) == self._most):
            self._plan()
        return future

    def _plan(self) -> None:
        """Have the next batch start, as soon as this turn of the loop has brought all that it brings."""
        if self._timer is not None:
            self._timer.cancel()
        if self._delay and len(self._fresh) < self._most:
            came = self._thread.waiting.get(self._fresh[0].ticket, 0.0)
            self._timer = self._loop.call_later(came + self._delay - time.monotonic(), self._start)
        else:
            self._timer = self._loop.call_soon(self._start)

    def _start(self) -> None:
        self._timer = None
        jobs = self._take()
        if not jobs:
            return
        if self._on_loop or (len(jobs) == 1 and self._pace.allows(jobs[0].request)):
            self._pace.begin()
            answers = self._timed(jobs) if len(jobs) == 1 else self._work(jobs)
            self._pace.end()
            self._deliver(answers)
            if self._fresh:
                self._plan()
            return
        self._running = True
        work = self._timed if len(jobs) == 1 else self._work
        batch = self._thread.submit(work, jobs, limited=False)
        batch.add_done_callback(self._ended)

    def _take(self) -> list[Job]:
        """The next batch: what came first, up to the bounds; never those that nobody waits for any more."""
        jobs: list[Job] = []
        size, fresh = 0, self._fresh
        while fresh and len(jobs) < self._most:
            job = fresh[0]
            size += len(job.request.body)
            if jobs and size > TAKEN_BYTES:
                break
            fresh.popleft()
            if job.ticket.done():
                self._thread.waiting.pop(job.ticket, None)
                size -= len(job.request.body)
            else:
                jobs.append(job)
        return jobs

    def _timed(self, jobs: list[Job]) -> Answers:
        """The same for a request by itself, which tells how long such take."""
        began, cpu = time.monotonic(), time.thread_time()
        answers = self._work(jobs)
        self._pace.note(jobs[0].request, time.monotonic() - began, time.thread_time() - cpu)
        return answers

    def _work(self, jobs: list[Job]) -> Answers:
        """In the thread: answer the jobs; returns what was not delivered on the way."""
        try:
            return self._answer(jobs)
        except BaseException as error:  # not the author's, which were answered: the batch's own, out of memory
            return [(job.ticket, failure_reply(error, "")) for job in jobs]

    def _answer(self, jobs: list[Job]) -> Answers:
        answered = 0
        thread = self._thread
        for answers in self._batcher.answers(jobs):
            answered += len(answers)
            if answered == len(jobs):
                return answers
            # What is done does not wait for what is not, and each call has the time limit to itself.
            if not self._on_loop:
                thread.busy_since = time.monotonic()
                self._loop.call_soon_threadsafe(self._deliver, answers)
            else:
                self._deliver(answers)
        return []

    def _ended(self, batch: asyncio.Future[Answers]) -> None:
        self._running = False
        if self._fresh:
            self._plan()
        self._deliver(batch.result())

    def _deliver(self, answers: Answers) -> None:
        waiting = self._thread.waiting
        for future, answer in answers:
            waiting.pop(future, None)
            if future.done():
                continue
            if type(answer) is Parts:
                follow(self._loop, future, self._stream(answer))
            else:
                future.set_result(answer)
