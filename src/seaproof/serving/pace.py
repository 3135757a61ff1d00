"""Whether a lone request may be predicted on the event loop, which saves it the way to a thread and back.

Waking another thread, and being woken by it, costs a tenth of a millisecond, as much as a small model itself. But
while a prediction runs on the loop, nothing else is answered, /ping included. So it is done for what is sure to be
short: small bodies, of functions that promised to work row by row, after all of the last ones have been short. Who is
wrong about it loses that for a long while; and a prediction that never ends all the same is found out by a thread
beside the loop.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback

from seaproof.contract.environ import ServingEnviron
from seaproof.http.message import Request
from seaproof.serving.replies import log

SMALL = 4096
"""Bytes of a body that may be predicted on the loop."""
SHORT = 0.002
"""Seconds of the processor within which others can wait for a prediction without noticing."""
LONG = 0.02
"""Seconds, of the processor or in all, that they would notice."""
PROVEN = 50
"""So many predictions in a row have to be short."""
SETBACK = 1000
"""So many more after one that was long, twice as many after the next."""
GRACE = 2.0
"""Seconds beyond the time limit after which nobody expects a prediction to end; what comes by then is refused."""
STUCK = 75
"""Exit code of a worker whose prediction does not end."""


class Pace:
    """How long the predictions of small bodies take; for one worker, told by whichever thread predicts."""

    def __init__(self, environ: ServingEnviron) -> None:
        self._limit = environ.timeout + GRACE
        self._short = 0
        self._setback = SETBACK
        self._since = 0.0
        self._watched = False

    def allows(self, request: Request) -> bool:
        """Whether this one may go on the loop, if nothing else waits."""
        return self._short >= PROVEN and len(request.body) <= SMALL

    def note(self, request: Request, seconds: float, cpu: float) -> None:
        """A request was predicted by itself, and took so long, and so much of the processor."""
        if len(request.body) > SMALL:
            return
        if cpu >= LONG:
            self._short = -self._setback
            self._setback *= 2
        elif cpu >= SHORT or seconds >= LONG:  # it waits for something; or the machine is busy, which is no fault of it
            self._short = min(self._short, 0)
        else:
            self._short += 1

    def begin(self) -> None:
        """A prediction begins on the loop."""
        if not self._watched:
            self._watched = True
            threading.Thread(target=self._watch, args=(threading.get_ident(),), name="watch", daemon=True).start()
        self._since = time.monotonic()

    def end(self) -> None:
        """It has ended."""
        self._since = 0.0

    def _watch(self, loop: int) -> None:
        while True:
            time.sleep(min(1.0, self._limit / 4))
            since = self._since
            if since and time.monotonic() - since > self._limit:
                stack = "".join(traceback.format_stack(sys._current_frames().get(loop)))
                log.error(
                    "a prediction has been running for over %.1f s; this worker is replaced. It is at:\n%s",
                    self._limit,
                    stack.rstrip(),
                )
                os._exit(STUCK)  # who waits here is answered by the guardian
