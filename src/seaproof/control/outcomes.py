"""What is kept of invocations: counts of all, and of those that failed an event on the endpoint that says why.

The caller's answer stays the platform's wording and waits for nothing here. An event needs the container's log and
its end, so it is written a moment later; a failure that repeats itself is explained once a minute.
"""

from __future__ import annotations

import threading
import time
from functools import partial

from seaproof.control.containers import KIND, log_file
from seaproof.control.logs import tail
from seaproof.control.plane import Plane
from seaproof.drivers.driver import Exit
from seaproof.invocations.chain import StepFailed
from seaproof.invocations.diagnosis import Evidence, diagnose, evidence_of
from seaproof.invocations.flow import Outcome
from seaproof.invocations.metrics import Metrics
from seaproof.invocations.problem import members, paragraph

EVENT = "invocation-failed"
_AGAIN_AFTER = 60.0
_MOMENT = 0.05
"""Seconds. What is waited for is counted in moments, so that a pause of this whole process is one of them."""
_LOG_ARRIVES = 5
"""Moments until what a container printed before it answered has been copied to its log."""
_END_IS_SEEN = 40
"""Moments until the end of a container that broke a connection off has been noticed, and its log copied."""

Key = tuple[str, str, str, str, int]


class Outcomes:
    """Takes the outcomes of all endpoints. Usable from any thread; `take` never waits."""

    def __init__(self, plane: Plane, *, again_after: float = _AGAIN_AFTER) -> None:
        self._plane = plane
        self._again_after = again_after
        self.metrics = Metrics()
        self._lock = threading.Lock()
        self._explained: dict[Key, float] = {}
        self._repeated: dict[Key, int] = {}

    def take(self, outcome: Outcome) -> None:
        """Count one outcome, and have it explained where it failed."""
        failed = outcome.failed
        if failed is None or failed.number > 0 or failed.kind != "refused":
            # A refused first step was sent nothing: the request goes to another instance, and is counted there.
            self.metrics.count(outcome.endpoint, outcome.variant, outcome.trace, outcome.seconds, failed)
        if failed is None:
            return
        key = (outcome.endpoint, outcome.variant, failed.step.name, failed.kind, failed.at.status)
        with self._lock:
            now = time.monotonic()
            last = self._explained.get(key)
            if last is not None and now - last < self._again_after:
                self._repeated[key] = self._repeated.get(key, 0) + 1
                return
            self._explained[key] = now
            more = self._repeated.pop(key, 0)
        self._plane.spawn(f"explain {outcome.endpoint}", partial(_explain, self._plane, outcome, failed, more))


def _explain(plane: Plane, outcome: Outcome, failed: StepFailed, more: int) -> None:
    evidence = _gather(plane, outcome, failed)
    diagnosis = diagnose(evidence)
    text = paragraph(evidence, diagnosis)
    if more:
        text += f"\n  before it  {more} more that failed in the same way"
    if plane.store.get(KIND, outcome.endpoint) is None:
        return  # it was deleted meanwhile
    plane.store.add_event(
        KIND,
        outcome.endpoint,
        EVENT,
        text,
        variant=outcome.variant,
        instance=outcome.instance,
        container=failed.step.name,
        problem=members(evidence, diagnosis, outcome.trace),
    )


def _gather(plane: Plane, outcome: Outcome, failed: StepFailed) -> Evidence:
    """The failure with what the driver knows, what the container printed, and how it is now."""
    name, exit, ping = failed.step.name, None, ""
    if failed.kind in ("refused", "closed", "malformed"):
        exit = _end_of(plane, outcome, name)
    else:
        for _ in range(_LOG_ARRIVES):
            plane.closing.wait(_MOMENT)
    if exit is None and failed.kind in ("refused", "timeout"):
        timeout = plane.settings.profile.ping_timeout.value
        ping = str(plane.sender.ping(failed.step.host, failed.step.port, timeout))
    log = tail(log_file(plane, outcome.endpoint, outcome.variant, outcome.instance, name))
    return evidence_of(
        failed,
        log=log,
        exit_code=exit.code if exit else None,
        out_of_memory=bool(exit and exit.out_of_memory),
        ping=ping,
    )


def _end_of(plane: Plane, outcome: Outcome, container: str) -> Exit | None:
    """How a container ended; None where it lives on."""
    fleet = plane.fleets.of(outcome.endpoint)
    for _ in range(_END_IS_SEEN):
        exit = fleet.end_of(outcome.instance, container, _MOMENT)
        if exit is not None:
            return exit
    return None
