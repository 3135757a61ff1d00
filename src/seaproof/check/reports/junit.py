"""The report as JUnit XML: one test case for each check, for CI systems that show tests."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from seaproof.check.check import FAILED, NOT_APPLICABLE, UNCHECKED, WARNED, Report, Result

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd]")


def render(report: Report) -> str:
    """One XML document."""
    suite = ElementTree.Element(
        "testsuite",
        name=f"seaproof check {report.target}",
        tests=str(len(report.results)),
        failures=str(len(report.of(FAILED))),
        errors=str(sum(result.blocks for result in report.results)),
        skipped=str(len(report.of(NOT_APPLICABLE)) + sum(not r.blocks for r in report.of(UNCHECKED))),
        time=f"{report.seconds:.3f}",
    )
    for result in report.results:
        _case(suite, result)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, result: Result) -> None:
    check = result.check
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"seaproof.{check.family}",
        name=f"{check.id} {check.title}",
        time=f"{result.seconds:.3f}",
    )
    if result.outcome == FAILED:
        causes = [finding.cause for finding in result.findings]
        ElementTree.SubElement(case, "failure", message=_clean(causes[0]), type=check.id).text = _text(result)
    elif result.outcome == UNCHECKED and result.blocks:
        ElementTree.SubElement(case, "error", message=_clean(result.reason), type="unchecked")
    elif result.outcome in (UNCHECKED, NOT_APPLICABLE):
        ElementTree.SubElement(case, "skipped", message=_clean(result.reason))
    elif result.outcome == WARNED:
        ElementTree.SubElement(case, "system-out").text = _text(result)


def _text(result: Result) -> str:
    rows = []
    for finding in result.findings:
        rows.append(finding.cause)
        rows += [f"{evidence.title}: {evidence.text}" for evidence in finding.evidence]
        rows.append(f"fix: {finding.fix or result.check.fix}")
    return _clean("\n".join([*rows, result.check.link]))


def _clean(text: str) -> str:
    """Text that XML can hold: logs have control characters."""
    return _NOT_XML.sub("?", text)
