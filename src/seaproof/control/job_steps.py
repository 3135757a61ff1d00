"""A job that runs containers as a list of steps: the record names the step, and each may be begun again.

A coordinator that was killed in any of them is followed by one that goes on from there. What a job has below
`workloads/` is removed when it has ended, except where saving failed: then nothing is thrown away but the copies of
the input, and FailureReason says where the rest lies.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from seaproof.control.container_job import ContainerJob, ending_of, note_ending
from seaproof.control.job_endings import COMPLETE, COMPLETED, ENDED, STOP, STOPPING, Ending
from seaproof.control.job_record import explain
from seaproof.control.store import Body

_TRACE_LIMIT = 8000
SAVING, LAST = "Uploading", "Completed"
"""The step for what the containers left, and the one that gives the record its end; every course has them."""

J = TypeVar("J", bound=ContainerJob)
Step = Callable[[J], "Ending | None"]
"""Does its part; what it returns decides how the job will end."""


@dataclass(frozen=True)
class Course(Generic[J]):
    """The steps of one kind of job, before its last; and how its record is changed on the way."""

    steps: Sequence[tuple[str, Step[J]]]
    begin: Callable[[Body, str], None]
    """Notes in the record's body that a step begins, beside `_step`."""
    finish: Callable[[Body, Ending], None]
    """Gives the record's body its end."""


def start(job: J, course: Course[J]) -> None:
    """Run the job from the step that its record names, in a thread of its own."""
    job.plane.spawn(f"{job.kind.replace('-', ' ')} {job.name}", partial(run, job, course))


def run(job: J, course: Course[J]) -> None:
    """Run the job to its end, from the step that its record names; return early where the coordinator shuts down."""
    last: Step[J] = partial(_complete, finish=course.finish)
    steps = [*course.steps, (LAST, last)]
    first = [name for name, _ in steps].index(job.body()["_step"])
    for name, step in steps[first:]:
        if not _is_due(name, ending_of(job.body())):
            continue
        try:
            job.update(partial(_begin, step=name, course=course))
            ending = step(job)
        except Exception as error:
            ending = None if job.plane.closing.is_set() else _broken(job, error)
        if job.plane.closing.is_set():
            return
        if ending is not None:
            note_ending(job, ending)
    clear(job)


def clear(job: ContainerJob) -> None:
    """Remove the folders of a job that has ended, unless they hold what could not be saved."""
    record = job.record()
    if record.status in ENDED and "_kept" not in record.body:
        job.remove_folders()


def unsaved(job: ContainerJob, what: str, problem: str) -> Ending:
    """Saving failed: keep what the containers left, and say where it is."""
    job.drop_inputs()
    kept = [str(root) for root in job.roots()]
    job.set("_kept", kept)
    problem = f"{what} upload failed:{problem}. Nothing is lost: what was to be saved is kept in {', '.join(kept)}"
    job.tell("artifacts", problem)
    before = ending_of(job.body())
    # Where the job had failed before, that stays the reason; the rest is in its history.
    return Ending.failed((before and before.reason) or f"ClientError: {problem}")


def _is_due(step: str, ending: Ending | None) -> bool:
    """Whether a step is left for a job whose end may be decided already."""
    return ending is None or step == LAST or (step == SAVING and ending.save)


def _begin(body: Body, step: str, course: Course[J]) -> None:
    body["_step"] = step
    course.begin(body, step)


def _complete(job: ContainerJob, finish: Callable[[Body, Ending], None]) -> None:
    """Give the record its end, in one transaction: a Stop operation comes before it or too late."""

    def write() -> None:
        with job.plane.store.transaction():
            record = job.record()
            if record.status in ENDED:
                return
            ending = ending_of(record.body) or COMPLETE
            if record.status == STOPPING and ending.status == COMPLETED:
                ending = STOP
            job.plane.store.update(job.kind, job.name, lambda body: finish(body, ending), status=ending.status)

    job.insist(write)


def _broken(job: ContainerJob, error: Exception) -> Ending:
    """Something failed that no step expected: the job fails with it, the tool lives on."""
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    job.tell("internal-error", trace[-_TRACE_LIMIT:])
    return Ending.failed(f"InternalServerError: We encountered an internal error. Please try again. ({explain(error)})")
