"""Executing a plan: each step as it is written, one after another, with a record of what was created.

Whoever is killed says `ship` again: what is there by then is kept, the rest is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from seaproof.errors import SeaproofError, ServiceError
from seaproof.ship import builder, refusals, waiting
from seaproof.ship.plan import Call, Plan, Step
from seaproof.ship.record import Record
from seaproof.ship.target import Target
from seaproof.ship.waiting import Watcher

SETTLING_SECONDS = 60.0
"""A role that was just created is not known everywhere at once; calls that need it are repeated for so long."""
CAPACITY_SECONDS = 30.0
"""Between two attempts where there is no capacity."""
SIDE_BY_SIDE = 8
"""Files that are sent at once."""
TOGETHER = 200
"""Files between two notes in the record, at most."""


class StepFailed(SeaproofError):
    """A step that could not be done: which call, why, what was done before it, how to go on or back."""


def execute(
    plan: Plan,
    target: Target,
    record: Record,
    watcher: Watcher,
    *,
    retries: int = 0,
    pause: float = CAPACITY_SECONDS,
    command: str = "seaproof ship",
) -> dict[str, Any]:
    """Do what the plan says; the last description of what was waited for, by kind. StepFailed at the first failure.

    `retries` is how often a step is done again that finds no capacity, `pause` seconds apart; `command` is what goes on
    after a failure.
    """
    described: dict[str, Any] = {}
    for number, steps in _portions(plan.steps):
        step = steps[0]
        made = record.will_make(steps)
        if step.call.operation == "UpdateEndpoint":
            record.endpoint_was_found(_serves(target, step))
        try:
            if step.source:
                _upload(steps, number, len(plan.steps), target, watcher)
            else:
                watcher.step(number, len(plan.steps), step)
                found = _with_retries(step, target, watcher, retries, pause)
                if found:
                    described[step.waits_for] = found
        except SeaproofError as error:
            if made and isinstance(error, ServiceError) and not step.source:
                record.forget(made)  # it was refused: there is nothing to take back
            raise _failed(error, plan, number, step, command) from error
        record.has_made(made)
        if step.call.operation in ("CreateEndpoint", "UpdateEndpoint"):
            record.endpoint_was_given(str(step.call.request["EndpointConfigName"]))
    return described


def _portions(steps: Sequence[Step]) -> Iterator[tuple[int, Sequence[Step]]]:
    """Each step with its number; uploads that follow each other come together."""
    at = 0
    while at < len(steps):
        end = at + 1
        while steps[at].source and end < min(len(steps), at + TOGETHER) and steps[end].source:
            end += 1
        yield at + 1, steps[at:end]
        at = end


def _upload(steps: Sequence[Step], number: int, of: int, target: Target, watcher: Watcher) -> None:
    """Send files, several at once; the first error, once those under way are done."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        sent = [pool.submit(do, step.call, target, watcher, source=step.source) for step in steps]
        try:
            for later, (step, done) in enumerate(zip(steps, sent, strict=True)):
                watcher.step(number + later, of, step)
                done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _serves(target: Target, step: Step) -> str:
    name = step.call.request["EndpointName"]
    return str(target.call("sagemaker", "DescribeEndpoint", {"EndpointName": name})["EndpointConfigName"])


def _with_retries(step: Step, target: Target, watcher: Watcher, retries: int, pause: float) -> dict[str, Any] | None:
    attempt = 0
    while True:
        try:
            do(step.call, target, watcher, source=step.source)
            break
        except ServiceError as error:
            if error.code not in refusals.CAPACITY or attempt >= retries:
                raise
            attempt += 1
            watcher.note(f"no capacity: {error.what}; attempt {attempt} of {retries} in {pause:.0f} s")
            time.sleep(pause)
    return waiting.wait(step, target, watcher) if step.waits_for else None


def until_there_is_capacity(
    plan: Plan,
    redraw: Callable[[], Plan],
    target: Target,
    record: Record,
    watcher: Watcher,
    *,
    retries: int = 0,
    pause: float = CAPACITY_SECONDS,
    command: str = "seaproof ship",
) -> tuple[Plan, dict[str, Any]]:
    """As `execute`; where a job or endpoint failed for want of capacity, draw the plan again and do that.

    Names of jobs are taken for good, and what comes after a job is named after it: so a new plan, not the same step.
    Returns the plan that was done, too.
    """
    attempt = 0
    while True:
        try:
            left = retries - attempt
            return plan, execute(plan, target, record, watcher, retries=left, pause=pause, command=command)
        except StepFailed as error:
            ended = error.__cause__
            found_none = isinstance(ended, waiting.EndedBadly) and ended.reason.partition(":")[0] in refusals.CAPACITY
            if not found_none or attempt >= retries:
                raise
            attempt += 1
            watcher.note(f"no capacity: {ended}; attempt {attempt} of {retries} in {pause:.0f} s")
            time.sleep(pause)
            plan = redraw()


def do(call: Call, target: Target, watcher: Watcher, *, source: str = "") -> dict[str, Any]:
    """One call; those of `docker` are done here, the rest is the target's."""
    own = _OWN.get((call.service, call.operation))
    if own:
        return own(call.request, target, watcher) or {}
    if source:
        request = call.request
        target.upload(source, request["Bucket"], request["Key"], request.get("Metadata", {}))
        return {}
    return _patiently(lambda: target.call(call.service, call.operation, call.request))


def _patiently(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A call, repeated while it fails because a role was created a moment ago."""
    deadline = time.monotonic() + SETTLING_SECONDS
    while True:
        try:
            return call()
        except ServiceError as error:
            unsettled = error.code == "ValidationException" and "assume" in error.message.lower()
            if not unsettled or time.monotonic() > deadline:
                raise
            time.sleep(2)


def _failed(error: SeaproofError, plan: Plan, number: int, step: Step, command: str) -> StepFailed:
    done = "; ".join(_titles(plan.steps[: number - 1]))
    before = f" Done before it: {done}." if done else " Nothing was done before it."
    code = f"{error.code}: " if isinstance(error, ServiceError) else ""
    return StepFailed(
        f"step {number} of {len(plan.steps)} failed, {step.title}: {code}{error.what.rstrip('.')}.{before}",
        where=str(step.call),
        next_step=_advice(error)
        + f"Say `{command}` again to go on from here, or `seaproof unship` to remove what was created.",
    )


def _titles(steps: Sequence[Step]) -> Iterator[str]:
    """What was done, uploads that follow each other as one."""
    for _, portion in _portions(steps):
        yield portion[0].title if len(portion) == 1 else f"upload {len(portion)} files"


def _advice(error: SeaproofError) -> str:
    return f"{error.next_step.rstrip('.')}. " if error.next_step else ""


_OWN: dict[tuple[str, str], Callable[[Any, Target, Watcher], Any]] = {
    ("docker", "Build"): builder.build,
    ("docker", "Push"): builder.push,
}
