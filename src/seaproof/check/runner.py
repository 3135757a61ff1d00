"""Runs the checks that were chosen on a subject, one after another, and tells what came of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

from seaproof.check import catalogue
from seaproof.check.check import (
    FAILED,
    NOT_APPLICABLE,
    PASSED,
    ROLES,
    RUN,
    UNCHECKED,
    WARNED,
    Check,
    Finding,
    NotApplicable,
    Report,
    Result,
    Unchecked,
)
from seaproof.check.lab import Lab
from seaproof.check.measures import measure_of
from seaproof.check.options import INPUT_MODES, Options
from seaproof.check.project_options import complete
from seaproof.check.subject import Subject
from seaproof.check.target import Target, find_target
from seaproof.errors import SeaproofError

MOST_FINDINGS = 25


def run_checks(text: str, options: Options, say: Callable[[str], None] = lambda text: None) -> Report:
    """Check what `text` names. `say` is told what is being done. ProjectError where it names nothing."""
    begun = time.monotonic()
    unknown = sorted({name.lower() for name in (*options.only, *options.skip)} - catalogue.names())
    if unknown:
        raise SeaproofError(
            f"there is no check or family {unknown[0]!r}", next_step="`seaproof check --list` shows them all."
        )
    for kind, known, given in (("role", ROLES, options.roles), ("input mode", INPUT_MODES, (options.input_mode,))):
        if wrong := next((name for name in given if name not in known), ""):
            raise SeaproofError(f"there is no {kind} {wrong!r}", next_step=f"There are: {', '.join(known)}.")
    target = find_target(text, options)
    try:
        options = complete(options, target)
        with closing(Lab(target, options, say)) as lab:
            subject = Subject(target, options, lab)
            chosen = [check for check in catalogue.all_checks() if _wanted(check, target, options)]
            results = [_result(check, subject) for check in chosen]
            measure = measure_of(lab)
    finally:
        target.close()
    notes = (*target.notes, *lab.notes)
    return Report(
        text,
        target.described,
        target.roles,
        tuple(results),
        time.monotonic() - begun,
        measure,
        notes,
        _narrowed(target, options),
    )


def _narrowed(target: Target, options: Options) -> str:
    """How little was asked for, where it was not everything that the target could be held against."""
    if options.fast and target.config is not None:
        return "by looking at it; what shows only when it runs was left out (--fast)"
    return "by the checks chosen" if options.only or options.skip else ""


def _wanted(check: Check, target: Target, options: Options) -> bool:
    if not options.chooses(check.id, check.family):
        return False
    if options.fast and check.stage == RUN:
        return False
    return not target.roles or bool(set(check.roles) & set(target.roles))


def _result(check: Check, subject: Subject) -> Result:
    """Run one check; whatever goes wrong in it is Unchecked, never passed."""
    begun = time.monotonic()
    findings: list[Finding] = []
    result = Result(check, PASSED)
    try:
        if check.stage == RUN and not (subject.target.runs or subject.target.address):
            _cannot_run(subject.target)
        for finding in check.function(subject):
            if finding not in findings:  # `train` and `serve` may be the same program
                findings.append(finding)
            if len(findings) >= MOST_FINDINGS:
                break
    except NotApplicable as error:
        result = replace(result, outcome=NOT_APPLICABLE, reason=str(error))
    except Unchecked as error:
        result = replace(result, outcome=UNCHECKED, reason=error.reason, next_step=error.next_step, blocks=error.blocks)
    except (SeaproofError, OSError) as error:
        result = replace(result, outcome=UNCHECKED, reason=str(error), blocks=True)
    except Exception as error:
        # What others wrote (requests, logs, archives) may be like nothing we thought of: the rest is told all the same.
        reason = f"the check itself broke: {type(error).__name__}: {error}"
        step = "Please report it, with what was checked; --skip leaves it out."
        result = replace(result, outcome=UNCHECKED, reason=reason, next_step=step, blocks=True)
    if findings:
        failed = any(not finding.warning for finding in findings)
        result = replace(result, outcome=FAILED if failed else WARNED, findings=tuple(findings), reason="")
    return replace(result, seconds=time.monotonic() - begun)


def _cannot_run(target: Target) -> None:
    """A target that cannot be started: an archive or a request never is; an image that is not here blocks the proof."""
    if target.config is None:
        raise NotApplicable("there is nothing that could be started")
    raise Unchecked(target.why_not_run or "it could not be started")
