"""What a terminal is told beside text: colours, where the cursor goes."""

from __future__ import annotations

import re

_CODES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


def without_codes(text: str) -> str:
    """What a program printed, as text alone: for reports and pages, and where it is not to move our own terminal."""
    return _CODES.sub("", text)
