"""Child processes: how they ended, and how they are ended."""

from __future__ import annotations

import os
import signal

FAILED = 1


def ended(pid: int) -> int | None:
    """The exit code of a child that has ended (negative: the signal), or None while it lives."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # somebody else, a handler of the author's, has collected it
        return FAILED
    return os.waitstatus_to_exitcode(status) if found else None


def reap_strangers(own: set[int]) -> None:
    """Collect ended processes that are none of our own."""
    try:
        while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if found.si_pid in own:  # died just now; its exit code is for the next round
                return
            os.waitpid(found.si_pid, os.WNOHANG)
    except ChildProcessError:
        return


def kill(pid: int, number: int) -> None:
    """Send a signal to a process that may have ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def how(status: int) -> str:
    """What an exit code says, as the end of a sentence."""
    if status >= 0:
        return f"ended with exit code {status}"
    hint = ", as when memory runs out" if status == -signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-status).name}{hint}"
