"""What a check is: data about one way in which SageMaker refuses a container, around a small function that finds it.

A check function takes a `Subject` and yields a Finding for each thing that is wrong; none means passed. It raises
`Unchecked` where it could not look, and `NotApplicable` where there is nothing to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seaproof.check.subject import Subject

ROLES = ("realtime", "serverless", "async", "batch", "multi-model", "pipeline", "training", "processing")
SERVING = ("realtime", "serverless", "async", "batch", "multi-model", "pipeline")
ALL = ROLES

STATIC, RUN, COMPARE = "static", "run", "compare"
STAGES = {
    STATIC: "by looking at the image, folder, archive or request",
    RUN: "by running it under the platform's conditions",
    COMPARE: "by comparing it with what was declared",
}
MARKS = {
    "D": "documented by AWS",
    "C": "read in the source of AWS's containers and SDKs",
    "E": "recorded in an experiment",
    "U": "reported by users of the real platform",
    "I": "inferred; not confirmed",
}

PASSED, FAILED, WARNED, UNCHECKED, NOT_APPLICABLE = "passed", "failed", "warned", "unchecked", "not applicable"


@dataclass(frozen=True)
class Evidence:
    """Something that was seen: the request, the reply's first bytes, log lines, a file."""

    title: str
    text: str


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with this very subject."""

    cause: str
    """One sentence: what is wrong, and where."""
    evidence: tuple[Evidence, ...] = ()
    fix: str = ""
    """Something to paste, for this subject; empty: the check's own."""
    warning: bool = False
    """It would not fail for this alone."""
    place: str = ""
    """A file that an editor can open, where there is one."""


class Unchecked(Exception):
    """It could not be looked at. `blocks` is False where nothing is missed by it: there is no such thing here."""

    def __init__(self, reason: str, *, next_step: str = "", blocks: bool = True) -> None:
        super().__init__(reason)
        self.reason, self.next_step, self.blocks = reason, next_step, blocks


class NotApplicable(Exception):
    """There is nothing of that kind here."""


Function = Callable[["Subject"], Iterator[Finding]]


@dataclass(frozen=True)
class Check:
    """One check. Its id never changes and is never given to another."""

    id: str
    title: str
    """What must hold, as a sentence without a full stop."""
    symptom: str
    """What users see on the platform when it does not hold."""
    platform: str
    """What the platform does, so that this matters."""
    fix: str
    """Something to paste, or the next step."""
    stage: str
    roles: tuple[str, ...]
    mark: str
    function: Function
    family: str
    row: int | None = None
    """The row of the table of symptoms in docs/checks.md; None for what goes beyond it."""
    sources: str = ""
    """Where it is documented, or where users reported it."""
    limit: str = ""
    """What of it cannot be seen before the platform itself looks, and why; empty where nothing is left out."""

    @property
    def link(self) -> str:
        """The page that is generated from it, relative to the repository."""
        return f"docs/reference/checks.md#{self.id.lower()}"


@dataclass(frozen=True)
class Result:
    """What came of one check."""

    check: Check
    outcome: str
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    """Why it is unchecked or not applicable."""
    next_step: str = ""
    blocks: bool = False
    """Unchecked, and the proof is incomplete for it."""
    seconds: float = 0.0


@dataclass(frozen=True)
class Measure:
    """What was measured along the way, for the pictures of the HTML page and the estimate."""

    pings: tuple[tuple[float, str], ...] = ()
    """Seconds since the start, and what came of each GET /ping until it was healthy."""
    ready_seconds: float | None = None
    latencies: tuple[float, ...] = ()
    """Seconds of each invocation that was answered 2xx, in order."""
    memory: tuple[tuple[float, int], ...] = ()
    """Seconds since the start, and bytes of resident memory of all its processes."""
    concurrency: tuple[tuple[int, float], ...] = ()
    """Requests at once, and the slowest of them in seconds."""


@dataclass(frozen=True)
class Report:
    """All that one run of `seaproof check` found out."""

    target: str
    described: str
    """One line: what the target turned out to be."""
    roles: tuple[str, ...]
    results: tuple[Result, ...]
    seconds: float
    measure: Measure = field(default_factory=Measure)
    notes: tuple[str, ...] = ()
    narrowed: str = ""
    """How little was asked for, where it was not everything: `by looking only (--fast)`."""

    def of(self, *outcomes: str) -> list[Result]:
        """The results with one of these outcomes."""
        return [result for result in self.results if result.outcome in outcomes]

    @property
    def exit_code(self) -> int:
        """0 proved, 1 would fail, 2 could not be checked (and nothing failed)."""
        if self.of(FAILED):
            return 1
        if any(result.blocks for result in self.results) or not self.of(PASSED, WARNED):
            return 2
        return 0

    def __bool__(self) -> bool:
        return self.exit_code == 0


def check(
    id: str,
    title: str,
    *,
    symptom: str,
    platform: str,
    fix: str,
    stage: str,
    roles: tuple[str, ...],
    mark: str,
    row: int | None = None,
    sources: str = "",
    limit: str = "",
) -> Callable[[Function], Check]:
    """Make a Check of a function; its family is the module that it stands in."""

    def make(function: Function) -> Check:
        family = function.__module__.rpartition(".")[2].replace("_", "-")
        return Check(id, title, symptom, platform, fix, stage, roles, mark, function, family, row, sources, limit)

    return make


def warn(cause: str, *evidence: Evidence, fix: str = "", place: str = "") -> Finding:
    """A finding for which alone nothing would fail."""
    return Finding(cause, evidence, fix, True, place)


def fail(cause: str, *evidence: Evidence, fix: str = "", place: str = "") -> Finding:
    """A finding for which the platform would refuse it, or callers get errors."""
    return Finding(cause, evidence, fix, False, place)
