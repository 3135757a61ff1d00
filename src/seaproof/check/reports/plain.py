"""The report in a terminal: first what would fail, then warnings, what is unchecked, and one line for the rest."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from seaproof.check.check import FAILED, NOT_APPLICABLE, PASSED, UNCHECKED, WARNED, Finding, Report, Result

_WIDTH = 110
_EVIDENCE_LINES, _NAMED = 12, 20


def render(report: Report) -> str:
    """The whole report, without colours."""
    lines = [f"{report.target}: {report.described}"]
    if report.roles:
        lines.append(f"checked as {', '.join(report.roles)}, in {report.seconds:.1f} s")
    for heading, outcome in (("WOULD FAIL", FAILED), ("WARNINGS", WARNED)):
        found = report.of(outcome)
        if found:
            lines += ["", heading]
            for result in found:
                lines += ["", *_result(result)]
    unchecked = report.of(UNCHECKED)
    if unchecked:
        lines += ["", "COULD NOT BE CHECKED", *_reasons(unchecked)]
    for note in report.notes:
        lines += ["", *textwrap.wrap(note, _WIDTH)]
    passed = report.of(PASSED)
    lines += ["", *_wrapped(f"passed {len(passed)}: {' '.join(result.check.id for result in passed) or 'none'}")]
    nothing = report.of(NOT_APPLICABLE)
    if nothing:
        named = f": {' '.join(result.check.id for result in nothing)}" if len(nothing) <= _NAMED else ""
        lines += _wrapped(f"nothing to check for {len(nothing)}{named}")
    lines += ["", verdict(report)]
    return "\n".join(lines) + "\n"


def verdict(report: Report) -> str:
    """One sentence."""
    failed, warned = len(report.of(FAILED)), len(report.of(WARNED))
    aside = f", with {warned} warning{'s' if warned > 1 else ''}" if warned else ""
    if report.exit_code == 1:
        applied = len(report.results) - len(report.of(NOT_APPLICABLE))
        return f"{failed} of {applied} checks would fail on SageMaker{aside}."
    if report.exit_code == 2:
        blocked = [result.check.id for result in report.results if result.blocks]
        return f"It could not be checked in full: {', '.join(blocked) or 'no check applied'}{aside}."
    if report.narrowed:
        return f"Nothing was found that SageMaker would refuse, {report.narrowed}{aside}."
    return f"Proved: nothing was found that SageMaker would refuse{aside}."


def _result(result: Result) -> Iterator[str]:
    check = result.check
    yield f"{check.id}  {check.title}"
    for finding in result.findings:
        yield from _wrapped(f"{finding.cause}.", "  ")
        yield from _evidence(finding)
        if finding.place:
            yield f"    at {finding.place}"
        fix = finding.fix or check.fix
        yield "    fix:"
        yield from (f"      {line}" for line in fix.splitlines())
    yield from _wrapped(f"The platform {check.platform}. On SageMaker: {check.symptom}. ({check.link})", "    ")


def _evidence(finding: Finding) -> Iterator[str]:
    for evidence in finding.evidence:
        rows = evidence.text.splitlines() or [""]
        if len(rows) == 1 and len(rows[0]) < _WIDTH:
            yield f"    {evidence.title}: {rows[0]}"
            continue
        yield f"    {evidence.title}:"
        for row in rows[:_EVIDENCE_LINES]:
            yield f"      | {row[:200]}"
        if len(rows) > _EVIDENCE_LINES:
            yield f"      | ... {len(rows) - _EVIDENCE_LINES} more lines"


def _reasons(results: list[Result]) -> Iterator[str]:
    """Equal reasons once, with the checks that they hold for."""
    groups: dict[tuple[str, str, bool], list[str]] = {}
    for result in results:
        groups.setdefault((result.reason, result.next_step, result.blocks), []).append(result.check.id)
    for (reason, next_step, blocks), ids in groups.items():
        yield ""
        yield from _wrapped(f"{' '.join(ids)}: {reason}.{' ' + next_step if next_step else ''}", "  ")
        if blocks:
            yield "    The proof is incomplete without it."


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False)
