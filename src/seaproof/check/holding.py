"""Holding the processes that compute, as a long prediction would, to see whether what stands in front of them waits.

The workers are stopped (SIGSTOP) with an invocation under way and go on when the time is over: a gunicorn that kills
what gives no sign of life, or a proxy that answers 504 by itself, is seen doing it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from seaproof.check.check import Unchecked
from seaproof.check.options import Payload
from seaproof.check.run import Run, describe_problem
from seaproof.errors import HttpError

_PROXIES = ("nginx", "envoy", "haproxy", "httpd", "apache2", "caddy", "traefik")
_WAITERS = ("sh", "bash", "dash", "tini", "dumb-init")
_LOOK_SECONDS = 0.1
_ANSWER_SECONDS = 15.0


@dataclass(frozen=True)
class Held:
    """What came of one invocation whose workers were held."""

    fronts: tuple[str, ...]
    """Names of the processes that were not held: what stands in front of the workers. Empty: nothing was done."""
    gave_up: str = ""
    """What one of them did before the time was over, or after it; empty where all of them waited."""
    seconds: float = 0.0
    """When it did so."""


def hold(run: Run, payload: Payload, seconds: float) -> Held:
    """Hold its workers for so long with an invocation under way. Unchecked where they cannot be held from here."""
    workers, fronts = _parts([pid for pid, _ in run.processes()])
    if not workers:
        raise Unchecked("its processes cannot be seen from here, so they cannot be held", blocks=False)
    if not fronts:
        return Held(())
    answers: list[str] = []

    def send() -> None:
        try:
            reply = run.invoke(payload.body, payload.content_type, payload.accept, timeout=seconds + _ANSWER_SECONDS)
            answers.append("" if 200 <= reply.status < 300 else f"it answered {reply.status} by itself")
        except HttpError as error:
            answers.append(describe_problem(error))

    with stopped(workers):
        begun = time.monotonic()
        asking = threading.Thread(target=send, daemon=True)
        asking.start()
        while time.monotonic() - begun < seconds:
            gone = [pid for pid in workers if _state(pid) in ("", "Z")]
            if gone or any(answers):
                break
            time.sleep(_LOOK_SECONDS)
        took = time.monotonic() - begun
        killed = f"{len(gone)} of {len(workers)} workers were killed" if gone else ""
    asking.join(_ANSWER_SECONDS)
    return Held(tuple(fronts), killed or (answers[0] if answers else "no answer came"), took)


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Processes that stand still for the time of a block. Unchecked where that is not allowed."""
    try:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        yield
    except PermissionError as error:
        raise Unchecked("its processes belong to another user, so they cannot be held", blocks=False) from error
    finally:
        for pid in pids:
            with suppress(OSError):
                os.kill(pid, signal.SIGCONT)


def _parts(pids: list[int]) -> tuple[list[int], list[str]]:
    """The processes that compute (those without children that are no proxies), and the names of the others."""
    parents = {_parent(pid) for pid in pids}
    names = {pid: _name(pid) for pid in pids}
    workers = [pid for pid in pids if pid not in parents and names[pid] not in _PROXIES]
    fronts = [names[pid] for pid in pids if pid not in workers and names[pid] not in _WAITERS]
    return workers, list(dict.fromkeys(fronts))


def _stat(pid: int) -> tuple[str, str, str]:
    """Name, state and parent of a process; empty texts where it is gone."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")
    except OSError:
        return "", "", ""
    fields = rest.split()
    return name.partition("(")[2], fields[0], fields[1]


def _name(pid: int) -> str:
    return _stat(pid)[0]


def _state(pid: int) -> str:
    return _stat(pid)[1]


def _parent(pid: int) -> int:
    return int(_stat(pid)[2] or 0)
