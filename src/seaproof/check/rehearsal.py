"""The platform's bad days, played on a running container while clients send requests: what did they see?

Each scene (`scenes`) does one thing that happens to endpoints. Clients go on sending the payload all the while; a scene
ends with what they saw, and whether that is as good as it can be.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from seaproof.check.check import Unchecked
from seaproof.check.files import find_program
from seaproof.check.options import Options, Payload
from seaproof.check.run import Run, describe_problem
from seaproof.check.startup import Startup, start_once
from seaproof.check.subject import Subject
from seaproof.check.traffic import known_payload
from seaproof.check.training_run import train_once
from seaproof.errors import HttpError, SeaproofError

GOOD, BAD, UNPLAYED = "good", "bad", "not played"
CLIENTS = 4
_WHY = "`seaproof check` says why, and what to do."


@dataclass(frozen=True)
class Seen:
    """One request of a client: when it was sent (seconds since the scene began), how long it took, what came."""

    at: float
    seconds: float
    problem: str
    """Empty for 2xx; else the status or what became of the connection."""


@dataclass(frozen=True)
class Played:
    """What came of one scene."""

    scene: str
    title: str
    verdict: str
    sentence: str
    """What happened, in one sentence."""
    seen: tuple[Seen, ...] = ()
    seconds: float = 0.0
    fix: str = ""

    @property
    def failed(self) -> list[Seen]:
        """The requests that were not answered with 2xx."""
        return [one for one in self.seen if one.problem]

    def clients(self) -> str:
        """What clients saw, in a few words."""
        if not self.seen:
            return ""
        slowest = max(one.seconds for one in self.seen)
        kinds: dict[str, int] = {}
        for one in self.failed:
            kinds[one.problem] = kinds.get(one.problem, 0) + 1
        failures = ", ".join(f"{count} x {problem}" for problem, count in sorted(kinds.items()))
        return f"{len(self.seen) - len(self.failed):,} answered, slowest {slowest:.2f} s; {failures or 'none failed'}"


@dataclass
class Stage:
    """What a scene works with: the subject, its payload, and the containers that it starts."""

    subject: Subject
    payload: Payload
    started: list[Run] = field(default_factory=list)

    def start(self, **changes: object) -> Startup:
        """A fresh container, as the platform starts it."""
        found = start_once(self.subject, self.subject.lab.model_root(), **changes)  # type: ignore[arg-type]
        if found.run is not None:
            self.started.append(found.run)
        return found

    def healthy(self, **changes: object) -> Run:
        """A fresh container that is healthy; Unchecked where it does not become so."""
        found = self.start(**changes)
        if not found.healthy or found.run is None:
            last = next((line for line in reversed(found.log.splitlines()) if line.strip()), "")
            said = f": {last.strip()[:120]}" if last else ""
            raise Unchecked(f"the container did not become healthy ({found.kind}{said})", next_step=_WHY)
        return found.run

    def clear(self) -> None:
        """End what was started."""
        for run in self.started:
            run.clear()
        self.started.clear()


class Clients:
    """A few clients that send the payload again and again to whichever container `route` names."""

    def __init__(self, stage: Stage, route: Callable[[], Run], timeout: float = 5.0) -> None:
        self._payload, self._route, self._timeout = stage.payload, route, timeout
        self._begun = time.monotonic()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.seen: list[Seen] = []
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def answered(self) -> int:
        """How many requests were answered with 2xx so far."""
        with self._lock:
            return sum(not one.problem for one in self.seen)

    def settle(self, more: int = 2 * CLIENTS, patience: float = 5.0) -> bool:
        """Wait until so many more were answered; False where they were not in time."""
        wanted, deadline = self.answered() + more, time.monotonic() + patience
        while self.answered() < wanted and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.answered() >= wanted

    def close(self) -> tuple[Seen, ...]:
        """End them, and give what they saw."""
        self._over.set()
        for thread in self._threads:
            thread.join(self._timeout + 2)
        with self._lock:
            return tuple(sorted(self.seen, key=lambda one: one.at))

    def _send(self) -> None:
        while not self._over.is_set():
            one = send(self._route(), self._payload, self._timeout, self._begun)
            with self._lock:
                self.seen.append(one)
            self._over.wait(0.005 if not one.problem else 0.05)


def send(run: Run, payload: Payload, timeout: float, begun: float) -> Seen:
    """One request of a client."""
    at = time.monotonic()
    problem = ""
    try:
        reply = run.invoke(payload.body, payload.content_type, payload.accept, timeout=timeout)
        problem = "" if 200 <= reply.status < 300 else str(reply.status)
    except HttpError as error:
        problem = describe_problem(error)
    return Seen(at - begun, time.monotonic() - at, problem)


@contextmanager
def clients(stage: Stage, route: Callable[[], Run]) -> Iterator[Clients]:
    """Clients for the time of a block; they are ended however it ends."""
    found = Clients(stage, route)
    try:
        yield found
    finally:
        found.close()


def rehearse(
    target: str, options: Options, chosen: tuple[str, ...] = (), say: Callable[[str], None] = lambda text: None
) -> list[Played]:
    """Play the scenes on what `target` names. SeaproofError where a scene is unknown or nothing can be started."""
    from seaproof.check.lab import Lab
    from seaproof.check.project_options import complete
    from seaproof.check.scenes import SCENES
    from seaproof.check.target import find_target

    for name in chosen:
        if name not in SCENES:
            raise SeaproofError(f"there is no scene {name!r}", next_step=f"Scenes are: {', '.join(SCENES)}.")
    found = find_target(target, options)
    try:
        options = complete(options, found)
        with closing(Lab(found, options, say)) as lab:
            subject = Subject(found, options, lab)
            if options.model is None and options.channels and _trains(subject):
                train_once(subject)  # its model is what is served, as on the platform
            try:
                payload = known_payload(subject)
            except Unchecked as error:
                raise SeaproofError(error.reason, next_step=error.next_step) from error
            return [_play(name, Stage(subject, payload)) for name in chosen or tuple(SCENES)]
    finally:
        found.close()


def _trains(subject: Subject) -> bool:
    """Whether there is a `train` to be run."""
    given = subject.target.program
    config = subject.config()
    found = find_program(subject.files(), "train", config.path, config.workdir)
    return bool(found or config.program or (given and given.train))


def _play(name: str, stage: Stage) -> Played:
    """One scene, and what came of it; one that cannot be played is told with the reason."""
    from seaproof.check.scenes import SCENES

    title, play = SCENES[name]
    stage.subject.lab.say(title)
    begun = time.monotonic()
    try:
        verdict, sentence, seen, fix = play(stage)
    except Unchecked as error:
        verdict, sentence, seen, fix = UNPLAYED, error.reason, (), error.next_step
    except SeaproofError as error:
        verdict, sentence, seen, fix = UNPLAYED, error.what, (), error.next_step
    finally:
        stage.clear()
    return Played(name, title, verdict, sentence, seen, time.monotonic() - begun, fix)
