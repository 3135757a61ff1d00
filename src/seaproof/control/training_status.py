"""The status machine of a training job.

    TrainingJobStatus   InProgress -> Completed | Failed;  InProgress -> Stopping -> Stopped
    SecondaryStatus     Starting -> Downloading -> Training -> (Stopping ->) Uploading -> Completed
                        or at the end Failed, Stopped, MaxRuntimeExceeded

All functions here change the body of a record in place, for `Store.update`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from seaproof.control.job_endings import FAILED, MAX_RUNTIME_EXCEEDED, Ending, shorten
from seaproof.control.store import Body

KIND = "training-job"

MESSAGES: Mapping[str, str] = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading the training image",
    "Training": "Training image download completed. Training in progress.",
    "Stopping": "Stopping the training job",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Stopped": "Training job stopped",
    MAX_RUNTIME_EXCEEDED: "Training job runtime exceeded MaxRuntimeInSeconds provided",
}


def enter(body: Body, secondary: str, message: str = "") -> None:
    """The next secondary status: end the last transition, begin a new one. Entering the same again changes nothing."""
    transitions = body.setdefault("SecondaryStatusTransitions", [])
    if transitions and transitions[-1]["Status"] == secondary:
        return
    now = time.time()
    if transitions:
        transitions[-1]["EndTime"] = now
    transitions.append(
        {"Status": secondary, "StartTime": now, "StatusMessage": shorten(message or MESSAGES.get(secondary, ""))}
    )
    body["SecondaryStatus"] = secondary
    if secondary == "Downloading":
        body.setdefault("TrainingStartTime", now)


def finish(body: Body, ending: Ending) -> None:
    """The end: status, times, reason, last transition."""
    body["TrainingJobStatus"] = ending.status
    enter(body, ending.secondary, ending.reason)
    now = time.time()
    body["SecondaryStatusTransitions"][-1]["EndTime"] = now
    body["TrainingEndTime"] = now
    if "TrainingStartTime" in body:
        seconds = max(1, math.ceil(now - body["TrainingStartTime"]))
        body["TrainingTimeInSeconds"] = body["BillableTimeInSeconds"] = seconds
    if ending.status == FAILED:
        body["FailureReason"] = ending.reason
