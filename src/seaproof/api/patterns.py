"""Regular expressions of the API models, which are Java's, as Python's `re` reads them.

Four things differ in what the models use: Unicode categories (`\\p{L}`), characters beyond U+FFFF written as two
surrogates, a repetition count behind `$`, and `\\z` for the end. `\\d`, `\\w` and `\\s` mean ASCII, and a pattern
covers the whole text.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

_CATEGORY = re.compile(r"\\p\{(\w+)\}")
_CLASS = re.compile(r"\[(?:\\.|[^\]\\])*\]|\\p\{\w+\}|\\.", re.DOTALL)
_PAIR = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_REPEATED_END = re.compile(r"(?<!\\)\$\{\d+(,\d*)?\}")
_POSIX = {"Alnum": "a-zA-Z0-9", "Alpha": "a-zA-Z", "Digit": "0-9", "Print": " -~", "ASCII": r"\x00-\x7f"}


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern of a model covers the whole text."""
    return compiled(pattern, text.isascii()).fullmatch(text) is not None


@cache
def compiled(pattern: str, ascii_only: bool = False) -> re.Pattern[str]:
    """The pattern for Python. `ascii_only` leaves all other characters out of the categories: much the quicker."""
    last = 0x7F if ascii_only else sys.maxunicode
    pattern = _PAIR.sub(lambda pair: f"\\U{_code_point(pair[1], pair[2]):08x}", pattern)
    pattern = _REPEATED_END.sub("$", pattern).replace("\\z", "\\Z")
    return re.compile(_CLASS.sub(lambda found: _translate(found[0], last), pattern), re.ASCII)


def _translate(part: str, last: int) -> str:
    """One class, category or escape of a pattern; a category outside of a class becomes a class."""
    inside = _CATEGORY.sub(lambda found: _members(found[1], last), part)
    return f"[{inside}]" if part.startswith("\\p{") else inside


def _code_point(high: str, low: str) -> int:
    return 0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00


def _members(category: str, last: int) -> str:
    """The characters of a Unicode category, as they stand between the brackets of a class."""
    if category in _POSIX:
        return _POSIX[category]
    return "".join(f"\\U{start:08x}-\\U{end:08x}" for start, end in _ranges(category, last))


@cache
def _ranges(category: str, last: int) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for code in range(last + 1):
        if unicodedata.category(chr(code)).startswith(category):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1] = (ranges[-1][0], code)
            else:
                ranges.append((code, code))
    return ranges
