"""The status machine of a transform job, and how one ends.

TransformJobStatus   InProgress -> Completed | Failed;  InProgress -> Stopping -> Stopped
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from seaproof.contract.limits import REAL_TIME
from seaproof.control.store import Body

KIND = "transform-job"
IN_PROGRESS, STOPPING = "InProgress", "Stopping"
COMPLETED, FAILED, STOPPED = "Completed", "Failed", "Stopped"
ENDED = (COMPLETED, FAILED, STOPPED)


@dataclass(frozen=True)
class Ending:
    """How a job ends."""

    status: str
    reason: str = ""

    @classmethod
    def failed(cls, reason: str) -> Ending:
        """Failed, with a FailureReason that begins with its class word."""
        return cls(FAILED, reason[: REAL_TIME.failure_text.value])


def finish(body: Body, ending: Ending) -> None:
    """The end, for `Store.update`."""
    body["TransformJobStatus"] = ending.status
    body["TransformEndTime"] = time.time()
    if ending.reason:
        body["FailureReason"] = ending.reason
