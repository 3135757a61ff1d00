"""The report as Markdown, for a pull request or the summary of a CI run."""

from __future__ import annotations

from collections.abc import Iterator

from seaproof.check.check import FAILED, NOT_APPLICABLE, PASSED, UNCHECKED, WARNED, Report, Result
from seaproof.check.reports.plain import verdict

_SIGNS = {FAILED: "❌", WARNED: "⚠️", UNCHECKED: "❔", PASSED: "✅", NOT_APPLICABLE: "–"}


def render(report: Report) -> str:
    """Findings in full, the rest as a table that is folded away."""
    lines = [f"## seaproof check `{report.target}`", "", f"**{verdict(report)}**", "", report.described, ""]
    for result in report.of(FAILED, WARNED):
        lines += list(_result(result))
    lines += [f"- {note}" for note in report.notes]
    lines += ["", f"<details><summary>All {len(report.results)} checks</summary>", "", "| | check | |", "|---|---|---|"]
    for result in sorted(report.results, key=lambda result: result.check.id):
        cell = result.reason.replace("|", "\\|")
        lines.append(f"| {_SIGNS[result.outcome]} | {result.check.id} {result.check.title} | {cell} |")
    return "\n".join([*lines, "", "</details>", ""])


def _result(result: Result) -> Iterator[str]:
    yield f"### {_SIGNS[result.outcome]} {result.check.id} {result.check.title}"
    for finding in result.findings:
        yield f"\n{finding.cause}." + (f" (`{finding.place}`)" if finding.place else "")
        for evidence in finding.evidence:
            yield f"\n{evidence.title}:\n```\n{evidence.text}\n```"
        yield f"\nFix:\n```\n{finding.fix or result.check.fix}\n```"
    yield f"\nThe platform {result.check.platform}. On SageMaker: {result.check.symptom}.\n"
