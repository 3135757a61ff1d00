"""The report as SARIF 2.1.0: findings at their file and line, as code hosts show them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from seaproof import __version__
from seaproof.check.check import FAILED, WARNED, Finding, Report, Result

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render(report: Report) -> str:
    """One JSON document."""
    found = report.of(FAILED, WARNED)
    rules = [
        {
            "id": result.check.id,
            "name": result.check.id,
            "shortDescription": {"text": result.check.title},
            "fullDescription": {"text": f"The platform {result.check.platform}."},
            "help": {"text": result.check.fix},
        }
        for result in found
    ]
    run = {
        "tool": {"driver": {"name": "seaproof", "version": __version__, "rules": rules}},
        "results": [_finding(report, result, finding) for result in found for finding in result.findings],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _finding(report: Report, result: Result, finding: Finding) -> dict[str, Any]:
    place, line = finding.place, 1
    if found := re.fullmatch(r"(.+):(\d+)", place):
        place, line = found[1], int(found[2])
    text = f"{finding.cause}. Fix: {finding.fix or result.check.fix}"
    return {
        "ruleId": result.check.id,
        "level": "warning" if finding.warning else "error",
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(place or report.target)},
                    "region": {"startLine": line},
                }
            }
        ],
    }


def _uri(place: str) -> str:
    """Relative to the current folder where it lies in it, as code hosts want it."""
    path = Path(place)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return quote(path.as_posix())
