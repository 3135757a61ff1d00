"""How a job that runs containers ends: its statuses, and the words in which the platform says why."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass

from seaproof.contract.limits import REAL_TIME
from seaproof.drivers.driver import Exit

IN_PROGRESS, STOPPING = "InProgress", "Stopping"
COMPLETED, FAILED, STOPPED = "Completed", "Failed", "Stopped"
ENDED = (COMPLETED, FAILED, STOPPED)
MAX_RUNTIME_EXCEEDED = "MaxRuntimeExceeded"

DISK_FULL = "the disk was full when the program ended"

_EXITS: Mapping[int, str] = {
    126: "{} was found but cannot be executed: the execute bit is missing, or its format is wrong",
    127: "no executable {} was found, or the interpreter in its first line is not in the image",
    128 + signal.SIGILL: "the program was built for another CPU (SIGILL)",
    128 + signal.SIGABRT: "the program gave up (SIGABRT)",
    128 + signal.SIGKILL: "the program was killed (SIGKILL), most often because memory ran out",
    128 + signal.SIGSEGV: "the program crashed (segmentation fault, SIGSEGV)",
    128 + signal.SIGTERM: "the program was ended from outside (SIGTERM)",
}


@dataclass(frozen=True)
class Ending:
    """How a job will end, decided before what it made is saved."""

    status: str
    secondary: str
    """SecondaryStatus, of the jobs that have one."""
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


def algorithm_error(
    exit: Exit, said: str, *, disk_full: bool = False, program: str = "`train`", otherwise: str = ""
) -> str:
    """FailureReason of a container that ended with a code other than 0; `said` is the text that it left about it.

    `disk_full` says that it could write nothing any more, that text included; `program` is what was to be executed;
    `otherwise` is said where nothing is known.
    """
    code = f", exit code: {exit.code}"
    if exit.out_of_memory:
        explained = "memory ran out and the program was killed (SIGKILL)"
    elif disk_full:
        explained = DISK_FULL
    else:
        explained = _EXITS.get(exit.code, "").format(program)
    # The exit code follows after a comma: a full stop before it would read as a slip.
    text = (said.strip() or explained or otherwise).removesuffix(".")
    return f"AlgorithmError: {text[: REAL_TIME.failure_text.value - len('AlgorithmError: ') - len(code)]}{code}"


def shorten(text: str) -> str:
    """At most as many characters as FailureReason and StatusMessage may have."""
    return text[: REAL_TIME.failure_text.value]
