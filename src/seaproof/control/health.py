"""Health of containers: waiting until they are ready, watching them for life, and saying why one is not well.

The containers of an instance are one patient: it is ready when all are, and lost when one is.

*Died before ready* and *died after ready* are different events: `NotReady` and `Lost`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from seaproof.contract.environ import DEFAULT_PORT
from seaproof.control.plane import Plane
from seaproof.drivers.driver import Exit, Handle
from seaproof.errors import DriverError, DriverUnavailable, SeaproofError
from seaproof.invocations.send import Ping

_SLICE = 0.2  # seconds that any wait may go on after the work is no longer wanted
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # between pings while it starts

_HINTS = {
    "404": "The program has no route /ping.",
    "405": "The program does not answer GET on /ping.",
    "500": "The program's own code for /ping fails.",
    "502": "A proxy answers, but the server behind it does not.",
    "503": "The program says that it is not ready.",
    "504": "The program says that its model is still loading.",
    "refused": "Nothing listens on its port.",
    "closed": "Connections are closed without an answer: it must speak HTTP.",
    "timeout": "It accepts the connection and does not answer within {timeout:g} s.",
    "malformed": "What it answers is not HTTP.",
}


# Of a program that still runs and was never heard of; "closed" too, as a relay may stand before its port.
_NEVER_HEARD = (
    "The program still runs, and nothing answers on its port: either it has not finished loading (a model_fn that never"
    " returns looks like this), or it does not listen, and speak HTTP, on port {port} of all interfaces"
    " ($SAGEMAKER_BIND_TO_PORT where that is set)."
)


class NotReady(SeaproofError):
    """A container did not become ready; `str()` is the cause."""

    def __init__(self, what: str, number: int = 0) -> None:
        super().__init__(what)
        self.number = number
        """Which of the containers, counted from 0."""


class Patient(NamedTuple):
    """A container that is looked after, and how sentences begin that are about it."""

    handle: Handle
    who: str = "Its container"


@dataclass(frozen=True)
class Lost:
    """A container was ready and is no more."""

    type: str
    """`died-after-ready` or `unhealthy`."""
    reason: str
    number: int = 0
    """Which of the containers, counted from 0."""
    exit: Exit | None = None
    """How it ended, where it did."""


def await_ready(plane: Plane, patients: Sequence[Patient], timeout: float, go_on: Callable[[], None]) -> int:
    """Ping until each has answered 200; returns the number of attempts. NotReady where one ends first, or is too late.

    `go_on` is called at least five times a second and raises where the work is no longer wanted.
    """
    started, pause = time.monotonic(), _FIRST_PAUSE
    history: list[Counter[str]] = [Counter() for _ in patients]
    waiting = list(range(len(patients)))
    while True:
        ended = _wait(plane, patients, pause, go_on)
        if ended is not None:
            number, exit = ended
            who, pings = patients[number].who, _pings(history[number])
            raise NotReady(f"{who} ended before it answered /ping: {describe_exit(exit)}. {pings}", number)
        last = {number: ping(plane, patients[number].handle) for number in waiting}
        for number, result in last.items():
            history[number][str(result)] += 1
        waiting = [number for number in waiting if not last[number].healthy]
        if not waiting:
            return max(each.total() for each in history)
        if time.monotonic() - started > timeout:
            number = waiting[0]
            never_heard = set(history[number]) <= {"refused", "closed"}
            hint = _NEVER_HEARD.format(port=DEFAULT_PORT) if never_heard else _hint(last[number])
            pings = f"{_pings(history[number])} {hint}"
            raise NotReady(f"No GET /ping was answered with 200 within {timeout:g} s. {pings}", number)
        pause = min(_LONGEST_PAUSE, pause * 1.5)


def watch(plane: Plane, patients: Sequence[Patient], go_on: Callable[[], None]) -> Lost:
    """Watch containers that are ready until one dies or no longer answers its pings; `go_on` as in `await_ready`."""
    settings = plane.settings
    failed: list[list[Ping]] = [[] for _ in patients]
    while True:
        ended = _wait(plane, patients, settings.ping_interval, go_on)
        if ended is not None:
            number, exit = ended
            reason = f"{patients[number].who} ended after it was ready: {describe_exit(exit)}."
            return Lost("died-after-ready", reason, number, exit)
        for number, (handle, who) in enumerate(patients):
            result = ping(plane, handle)
            failed[number] = [] if result.healthy else [*failed[number], result]
            if len(failed[number]) >= max(1, settings.ping_failures):
                history = _pings(Counter(str(each) for each in failed[number]))
                subject = "It" if len(patients) == 1 else who
                reason = f"{subject} no longer answers its health check. {history} {_hint(result)}"
                return Lost("unhealthy", reason, number)


def ping(plane: Plane, handle: Handle) -> Ping:
    """GET /ping once."""
    assert handle.host is not None
    assert handle.port is not None
    return plane.sender.ping(handle.host, handle.port, plane.settings.profile.ping_timeout.value)


def describe_exit(exit: Exit) -> str:
    """How it ended, in words."""
    if exit.out_of_memory:
        return f"exit code {exit.code}, out of memory"
    if exit.code > 128:
        return f"exit code {exit.code}, by signal {exit.code - 128}"
    return f"exit code {exit.code}"


def _wait(
    plane: Plane, patients: Sequence[Patient], seconds: float, go_on: Callable[[], None]
) -> tuple[int, Exit] | None:
    """Wait for the end of one of them, at most so long. What the driver no longer knows has ended, too."""
    until = time.monotonic() + seconds
    while True:
        go_on()
        left = max(0.0, until - time.monotonic())
        for number, patient in enumerate(patients):
            exit = _ended(plane, patient.handle, min(_SLICE, left) if number == 0 else 0.0, go_on)
            if exit is not None:
                return number, exit
        if left <= _SLICE:
            return None


def _ended(plane: Plane, handle: Handle, timeout: float, go_on: Callable[[], None]) -> Exit | None:
    try:
        return plane.driver.wait(handle, timeout)
    except DriverUnavailable:
        # The engine is away, which says nothing about the container; its pings do.
        time.sleep(timeout)
        return None
    except DriverError:
        go_on()
        return Exit(137)


def _pings(history: Counter[str]) -> str:
    if not history:
        return "It was not pinged yet."
    parts = ", ".join(f"{count} x {result}" for result, count in history.most_common())
    return f"GET /ping gave: {parts}."


def _hint(last: Ping) -> str:
    return _HINTS.get(str(last), "").format(timeout=2)
