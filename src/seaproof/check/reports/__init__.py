"""The report of a check run in each format: text, JSON, JUnit, SARIF, Markdown, and a page with pictures."""

from __future__ import annotations

from collections.abc import Callable

from seaproof.check.check import Report
from seaproof.check.reports import junit, markdown, page, plain, sarif, structured

FORMATS: dict[str, Callable[[Report], str]] = {
    "text": plain.render,
    "json": structured.render,
    "junit": junit.render,
    "sarif": sarif.render,
    "markdown": markdown.render,
    "html": page.render,
}
