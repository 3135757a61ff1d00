"""The status machine of a training job, and the words in which the platform says how one ended.

    TrainingJobStatus   InProgress -> Completed | Failed;  InProgress -> Stopping -> Stopped
    SecondaryStatus     Starting -> Downloading -> Training -> (Stopping ->) Uploading -> Completed
                        or at the end Failed, Stopped, MaxRuntimeExceeded

All functions here change the body of a record in place, for `Store.update`.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass

from seaproof.contract.limits import REAL_TIME
from seaproof.control.store import Body
from seaproof.drivers.driver import Exit

KIND = "training-job"
IN_PROGRESS, STOPPING = "InProgress", "Stopping"
COMPLETED, FAILED, STOPPED = "Completed", "Failed", "Stopped"
ENDED = (COMPLETED, FAILED, STOPPED)
MAX_RUNTIME_EXCEEDED = "MaxRuntimeExceeded"

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

DISK_FULL = "the disk was full when the program ended"

_EXITS: Mapping[int, str] = {
    126: "`train` was found but cannot be executed: the execute bit is missing, or its format is wrong",
    127: "no executable `train` was found, or the interpreter in its first line is not in the image",
    128 + signal.SIGILL: "the program was built for another CPU (SIGILL)",
    128 + signal.SIGABRT: "the program gave up (SIGABRT)",
    128 + signal.SIGKILL: "the program was killed (SIGKILL), most often because memory ran out",
    128 + signal.SIGSEGV: "the program crashed (segmentation fault, SIGSEGV)",
    128 + signal.SIGTERM: "the program was ended from outside (SIGTERM)",
}


@dataclass(frozen=True)
class Ending:
    """How a job will end, decided before its artefacts are saved."""

    status: str
    secondary: str
    reason: str = ""
    save: bool = True
    """Whether the containers got to finish, so that what they left is saved."""

    @classmethod
    def failed(cls, reason: str, *, save: bool = False) -> Ending:
        """Failed, with a FailureReason that begins with its class word."""
        return cls(FAILED, FAILED, shorten(reason), save)


COMPLETE = Ending(COMPLETED, COMPLETED)
STOP = Ending(STOPPED, STOPPED)
STOP_UNSTARTED = Ending(STOPPED, STOPPED, save=False)
OUT_OF_TIME = Ending(STOPPED, MAX_RUNTIME_EXCEEDED)


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


def algorithm_error(exit: Exit, failure: str, *, disk_full: bool = False) -> str:
    """FailureReason of a container that ended with a code other than 0; `failure` is the text of its failure file.

    `disk_full` says that it could write nothing any more, its failure file included.
    """
    code = f", exit code: {exit.code}"
    if exit.out_of_memory:
        explained = "memory ran out and the program was killed (SIGKILL)"
    elif disk_full:
        explained = DISK_FULL
    else:
        explained = _EXITS.get(exit.code, "")
    # The exit code follows after a comma: a full stop before it would read as a slip.
    text = (failure.strip() or explained).removesuffix(".")
    return f"AlgorithmError: {text[: REAL_TIME.failure_text.value - len('AlgorithmError: ') - len(code)]}{code}"


def shorten(text: str) -> str:
    """At most as many characters as FailureReason and StatusMessage may have."""
    return text[: REAL_TIME.failure_text.value]
