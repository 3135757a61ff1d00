"""Health of one container: waiting until it is ready, watching it for life, and saying why it is not well.

*Died before ready* and *died after ready* are different events: `NotReady` and `Lost`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

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
    "refused": "Nothing listens there: it must listen on port {port} of all interfaces, not of 127.0.0.1 alone.",
    "closed": "Connections are closed without an answer: it must speak HTTP on port {port} of all interfaces.",
    "timeout": "It accepts the connection and does not answer within {timeout:g} s.",
    "malformed": "What it answers is not HTTP.",
}


class NotReady(SeaproofError):
    """The container did not become ready; `str()` is the cause."""


@dataclass(frozen=True)
class Lost:
    """The container was ready and is no more."""

    type: str
    """`died-after-ready` or `unhealthy`."""
    reason: str


def await_ready(plane: Plane, handle: Handle, timeout: float, go_on: Callable[[], None]) -> int:
    """Ping until the answer is 200; returns the number of attempts. NotReady where it ends first, or too late.

    `go_on` is called at least five times a second and raises where the work is no longer wanted.
    """
    started, pause = time.monotonic(), _FIRST_PAUSE
    history: Counter[str] = Counter()
    last = Ping()
    while True:
        exit = _wait(plane, handle, pause, go_on)
        if exit is not None:
            raise NotReady(f"Its container ended before it answered /ping: {describe_exit(exit)}. {_pings(history)}")
        last = ping(plane, handle)
        history[str(last)] += 1
        if last.healthy:
            return history.total()
        if time.monotonic() - started > timeout:
            raise NotReady(f"No GET /ping was answered with 200 within {timeout:g} s. {_pings(history)} {_hint(last)}")
        pause = min(_LONGEST_PAUSE, pause * 1.5)


def watch(plane: Plane, handle: Handle, go_on: Callable[[], None]) -> Lost:
    """Watch a container that is ready until it dies or no longer answers its pings; `go_on` as in `await_ready`."""
    settings = plane.settings
    failed: list[Ping] = []
    while True:
        exit = _wait(plane, handle, settings.ping_interval, go_on)
        if exit is not None:
            return Lost("died-after-ready", f"Its container ended after it was ready: {describe_exit(exit)}.")
        result = ping(plane, handle)
        failed = [] if result.healthy else [*failed, result]
        if len(failed) >= max(1, settings.ping_failures):
            history = _pings(Counter(str(each) for each in failed))
            return Lost("unhealthy", f"It no longer answers its health check. {history} {_hint(result)}")


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


def _wait(plane: Plane, handle: Handle, seconds: float, go_on: Callable[[], None]) -> Exit | None:
    """Wait for its end, at most so long. What the driver no longer knows has ended, too."""
    until = time.monotonic() + seconds
    while True:
        go_on()
        left = max(0.0, until - time.monotonic())
        try:
            exit = plane.driver.wait(handle, min(_SLICE, left))
        except DriverUnavailable:
            # The engine is away, which says nothing about the container; its pings do.
            time.sleep(min(_SLICE, left))
            exit = None
        except DriverError:
            go_on()
            return Exit(137)
        if exit is not None or left <= _SLICE:
            return exit


def _pings(history: Counter[str]) -> str:
    if not history:
        return "It was not pinged yet."
    parts = ", ".join(f"{count} x {result}" for result, count in history.most_common())
    return f"GET /ping gave: {parts}."


def _hint(last: Ping) -> str:
    return _HINTS.get(str(last), "").format(port=8080, timeout=2)
