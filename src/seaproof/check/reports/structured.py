"""The report as JSON: all that is known, for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from seaproof.check.check import MARKS, Report, Result
from seaproof.check.reports.plain import verdict


def render(report: Report) -> str:
    """One JSON document."""
    return json.dumps(as_dictionary(report), indent=2) + "\n"


def as_dictionary(report: Report) -> dict[str, Any]:
    """The report as plain values."""
    return {
        "target": report.target,
        "described": report.described,
        "roles": list(report.roles),
        "exit_code": report.exit_code,
        "verdict": verdict(report),
        "seconds": round(report.seconds, 3),
        "notes": list(report.notes),
        "results": [_result(result) for result in report.results],
        "measure": asdict(report.measure),
    }


def _result(result: Result) -> dict[str, Any]:
    check = result.check
    return {
        "id": check.id,
        "title": check.title,
        "family": check.family,
        "stage": check.stage,
        "row": check.row,
        "sure": MARKS[check.mark],
        "outcome": result.outcome,
        "seconds": round(result.seconds, 3),
        "reason": result.reason,
        "next_step": result.next_step,
        "incomplete": result.blocks,
        "platform": check.platform,
        "symptom": check.symptom,
        "docs": check.link,
        "findings": [
            {
                "cause": finding.cause,
                "warning": finding.warning,
                "fix": finding.fix or check.fix,
                "place": finding.place,
                "evidence": {evidence.title: evidence.text for evidence in finding.evidence},
            }
            for finding in result.findings
        ],
    }
