"""One check explained as Markdown: what `--explain` shows, and its section in docs/reference/checks.md."""

from __future__ import annotations

from seaproof.check.check import MARKS, STAGES, Check


def explain(check: Check) -> str:
    """A section of a page; its heading is the id, so that links stay."""
    row = f" (row {check.row} of the [table of symptoms](../checks.md))" if check.row else ""
    limit = f"\nNot seen: {check.limit}.\n" if check.limit else ""
    sources = f"\nSources: {check.sources}.\n" if check.sources else ""
    return (
        f"## {check.id}\n\n**{check.title}.**{row}\n\n"
        f"On SageMaker: {check.symptom}.\n\n"
        f"The platform {check.platform}. How sure we are: {MARKS[check.mark]}.\n\n"
        f"Checked {STAGES[check.stage]}, for {', '.join(check.roles)}. Family: {check.family}.\n\n"
        f"Fix:\n\n```\n{check.fix}\n```\n{limit}{sources}"
    )
