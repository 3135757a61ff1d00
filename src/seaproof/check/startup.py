"""The start of a serving container, done once under the platform's conditions and told as a record.

Where it does not come up, it is started again with one condition lifted at a time, so that the cause can be named: a
model folder that can be written to, a way to the internet, more memory.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seaproof.check.check import Evidence, Unchecked
from seaproof.check.lab import Lab
from seaproof.check.listening import Listener
from seaproof.check.run import Run
from seaproof.check.subject import Subject
from seaproof.check.training_run import Training, train_once
from seaproof.drivers.driver import Exit
from seaproof.errors import StartFailed

_INTERVAL = 0.1
_STEADY_PINGS = 8
_CERTAIN = 0.4
"""Share of the patience after which the same wrong answer again and again is taken for final."""

_NOBODY = {"refused", "closed"}
"""What comes where nobody answers: one or the other, by what stands in between."""

LIFTED = {
    "model": "with an /opt/ml/model that can be written to",
    "network": "with a way to the internet",
    "memory": "without a memory limit",
}


@dataclass(frozen=True)
class Startup:
    """How one start went. `kind`:

    healthy; not-executed; died; elsewhere (it listens on another port); loopback; status (an answer that is not 200);
    slow (pings over 2 s); not-http; flapping; silent (nothing listens, it lives); stopped (by our watch)
    """

    kind: str
    pings: tuple[tuple[float, str], ...] = ()
    ready_seconds: float | None = None
    run: Run | None = None
    log: str = ""
    exit: Exit | None = None
    problem: StartFailed | None = None
    listening: tuple[Listener, ...] = ()
    last_status: int | None = None
    patience: float = 60.0
    why_stopped: str = ""
    lifted: str = ""
    """The condition without which it comes up (a key of LIFTED), where that was found out."""
    first: Startup | None = None
    """The start under all conditions, where `run` is one with a condition lifted."""
    loading: bool = False
    """It was still computing when the patience was over, so that it may become healthy later."""
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def healthy(self) -> bool:
        """Whether there is a container that answers /ping with 200."""
        return self.kind == "healthy"

    def evidence(self) -> tuple[Evidence, ...]:
        """Its log, and how it ended."""
        found = []
        if self.exit is not None:
            memory = ", out of memory" if self.exit.out_of_memory else ""
            found.append(Evidence("it ended", f"exit code {self.exit.code}{memory}"))
        if self.problem is not None:
            found.append(Evidence("it was not started", str(self.problem)))
        if self.pings:
            found.append(Evidence("GET /ping", _summary(self.pings)))
        if self.listening:
            found.append(Evidence("it listens on", ", ".join(map(str, self.listening))))
        if self.problem is None:
            found.append(
                Evidence("last lines of its log", "\n".join(self.log.splitlines()[-10:]) or "(it printed nothing)")
            )
        return tuple(found)


def startup(subject: Subject) -> Startup:
    """The start that all checks of a running container share."""
    return subject.lab.once("startup", lambda: _start_up(subject))


def running(subject: Subject) -> Run:
    """A container that answers /ping with 200; Unchecked where there is none, as the checks of /ping say then."""
    started = startup(subject)
    if started.run is None or not started.healthy:
        raise Unchecked("the container did not become healthy, so nothing could be asked of it", blocks=False)
    if started.run.driver is not None and started.run.exit() is not None:
        return _again(subject)
    return started.run


def _again(subject: Subject) -> Run:
    """A fresh container, where the shared one has ended in a check before."""
    found = start_once(subject, subject.lab.model_root())
    if not found.healthy or found.run is None:
        raise Unchecked("the container ended during another check, and did not come up again", blocks=False)
    subject.lab.learn("startup", found)
    return found.run


def first_training(subject: Subject) -> Training:
    """The training run that all checks of training share."""
    return train_once(subject)


def start_once(
    subject: Subject, opt_ml: Any, *, patience: float | None = None, steady: bool = True, **changes: Any
) -> Startup:
    """Start it in this /opt/ml and wait until it is healthy, has ended, or cannot become healthy any more."""
    lab = subject.lab
    patience = subject.options.patience if patience is None else patience
    try:
        run = lab.start(lab.workload("serve", opt_ml, **{**subject.lab.lifted, **changes}))
    except StartFailed as error:
        return Startup("not-executed", problem=error, log=str(error), patience=patience)
    return await_healthy(run, patience, steady=steady)


def comes_up(subject: Subject, opt_ml: Path | None = None, **changes: Any) -> Startup:
    """As `start_once` with the model in a fresh /opt/ml, or in the one given; it is stopped again at once."""
    found = start_once(subject, opt_ml or subject.lab.model_root(), steady=False, **changes)
    if found.run is not None:
        found.run.stop(0)
    return found


def ends(subject: Subject) -> list[tuple[str, Exit | None, str]]:
    """How each program that was started ended, if it did, and what it said: `serve`, and `train` where it was run."""
    found: list[tuple[str, Exit | None, str]] = []
    if subject.serves():
        started = startup(subject)
        seen = started.first or started
        found.append(("serve", seen.exit or (seen.run.exit() if seen.run else None), seen.log))
    if (trained := subject.lab.has("training")) is not None:
        found.append(("train", trained.exit, trained.log))
    return found


def await_healthy(run: Run, patience: float, *, steady: bool = True) -> Startup:
    """Ping it as the platform does, only more often."""
    pings: list[tuple[float, str]] = []
    last: int | None = None
    same_since, same, idle = run.started, "", False
    while True:
        ping = run.ping()
        now = time.monotonic() - run.started
        pings.append((round(now, 3), str(ping)))
        last = ping.status
        if ping.healthy:
            kind = _steadiness(run, pings) if steady else "healthy"
            return _told(run, kind, pings, patience, ready=now)
        exit = run.exit()
        if run.stopped_for:
            return _told(run, "stopped", pings, patience, last=last)
        if exit is not None:
            return _told(run, "died", pings, patience, exit=exit)
        if str(ping) != same and not {str(ping), same} <= _NOBODY:
            same_since = time.monotonic()
        same = str(ping)
        certain = time.monotonic() - same_since > patience * _CERTAIN
        kind, over = _final(run, same, certain), now > patience
        changes = _may_change(run, kind)
        if over or (kind and (idle or not changes)):
            loading = changes and not idle and run.computes()
            return replace(_told(run, kind or _kind(same), pings, patience, last=last), loading=loading)
        idle = bool(kind) and not run.computes()  # and asked once more: it may have come up just then
        time.sleep(_INTERVAL)


def _may_change(run: Run, kind: str) -> bool:
    """Whether what is wrong may be so only until a model is loaded: another port that opens first, a 404 until then."""
    if kind == "loopback":
        return all(listener.port != run.port for listener in run.listening())
    return kind in ("elsewhere", "status")


def _steadiness(run: Run, pings: list[tuple[float, str]]) -> str:
    """healthy, or flapping: the platform wants 200 again and again."""
    for _ in range(_STEADY_PINGS):
        time.sleep(_INTERVAL / 2)
        ping = run.ping()
        pings.append((round(time.monotonic() - run.started, 3), str(ping)))
        if not ping.healthy:
            return "died" if run.exit(0.2) is not None else "flapping"
    return "healthy"


def _final(run: Run, answer: str, certain: bool) -> str:
    """The kind of a start that cannot become healthy any more; empty while it can."""
    if not certain:
        return ""
    if answer in ("refused", "closed", "timeout"):
        return _port_problem(run, answer)
    if answer == "malformed":
        return "not-http"
    if answer.isdigit() and answer not in ("502", "503", "504"):
        return "status"  # a proxy says 502 to 504 while what is behind it still loads
    return ""


def _port_problem(run: Run, answer: str) -> str:
    open_ports = run.listening()
    port = run.port
    here = [listener for listener in open_ports if listener.port == port]
    if here and not any(listener.everywhere for listener in here):
        return "loopback"
    if here and answer == "closed":
        return "not-http"
    if not here and any(listener.everywhere for listener in open_ports):
        return "elsewhere"
    return "loopback" if not here and open_ports else ""


def _kind(answer: str) -> str:
    if answer.isdigit():
        return "status"
    return {"timeout": "slow", "malformed": "not-http"}.get(answer, "silent")


def _told(
    run: Run,
    kind: str,
    pings: list[tuple[float, str]],
    patience: float,
    *,
    ready: float | None = None,
    last: int | None = None,
    exit: Exit | None = None,
) -> Startup:
    return Startup(
        kind,
        tuple(pings),
        ready,
        run,
        run.log(settle=kind != "healthy"),
        exit or (run.exit() if kind == "died" else None),
        listening=tuple(run.listening()) if kind not in ("died", "stopped") else (),
        last_status=last,
        patience=patience,
        why_stopped=run.stopped_for,
    )


def _start_up(subject: Subject) -> Startup:
    lab = subject.lab
    if subject.target.address is not None:
        return await_healthy(lab.adopt(*subject.target.address), min(10.0, subject.options.patience))
    if "training" in subject.roles and subject.options.channels and subject.options.model is None:
        with suppress(Unchecked):
            train_once(subject)  # its model is what is served
    lab.say("starting it under the platform's conditions")
    first = start_once(subject, lab.model_root())
    if first.kind not in ("died", "silent"):
        return first
    for name, changes in _liftings(lab, first):
        lab.say(f"it did not become healthy; starting it again {LIFTED[name]}")
        if first.run is not None:
            first.run.stop(0)
        again = start_once(subject, lab.model_root(), **changes)
        if again.healthy:
            lab.lifted = changes
            return _lifted(again, name, first)
        if again.run is not None:
            again.run.stop(0)
    return first


def _liftings(lab: Lab, first: Startup) -> list[tuple[str, dict[str, Any]]]:
    """What to try, the likeliest first by what it said."""
    options: list[tuple[str, dict[str, Any]]] = []
    out_of_memory = bool(first.exit and (first.exit.out_of_memory or first.exit.code == 137))
    if out_of_memory:
        return [("memory", {"memory": lab.most_memory()})]
    if lab.isolates:
        said = first.log.lower()
        network = ("network", lab.open_network)
        model = ("model", {"read_only": ()})
        needs_network = any(
            word in said for word in ("resolve", "connection", "unreachable", "http", "retry", "urlopen")
        )
        options = [network, model] if needs_network else [model, network]
        if first.kind == "silent" and not any(word in said for word in ("read-only", "permission denied", "erofs")):
            options = [network]  # who cannot write says so; who waits for a connection need not
    return options


def _lifted(again: Startup, name: str, first: Startup) -> Startup:
    return replace(again, lifted=name, first=first)


def _summary(pings: tuple[tuple[float, str], ...]) -> str:
    """Runs of equal answers: `refused until 1.2 s, then 404 until 9.8 s (61 times)`."""
    parts: list[list[Any]] = []
    for at, answer in pings:
        if parts and parts[-1][0] == answer:
            parts[-1][1], parts[-1][2] = at, parts[-1][2] + 1
        else:
            parts.append([answer, at, 1])
    shown = [f"{answer} until {at:.1f} s ({count}x)" for answer, at, count in parts]
    return ", then ".join(shown[:3] + (["..."] if len(shown) > 4 else []) + shown[max(3, len(shown) - 1) :])
