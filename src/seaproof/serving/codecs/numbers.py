"""The fast ways from a purely numeric CSV to a matrix.

Each way returns None for anything it is not sure about: another character, a ragged row, a blank line. The caller
then reads cell by cell (`cells.py`), which is slower and always right, and which alone words the errors.
"""

from __future__ import annotations

import re
from typing import Any

from seaproof.serving.codecs.libraries import library

SMALL = 2048
"""Bytes below which plain Python is faster than a call into a library."""

_OPENERS = (b"[", b"]", b"{", b'"', b"n", b"t", b"f", b"N", b"I", b"i")
_MINUS_ZERO = re.compile(rb"-0(?=[,\s]|$)")


def matrix(body: bytes) -> Any:
    """A float64 ndarray, rows by columns (a list of lists without numpy), or None if this is not purely numeric."""
    if len(body) <= SMALL:
        return few(body)
    if library("numpy") is None:
        return few(body)
    found = simd(body) if library("simdjson") is not None else None
    return loadtxt(body) if found is None else found


def few(body: bytes) -> Any:
    """Plain Python: the fastest for a few cells, and the only one without numpy."""
    # int() and float() read underscores and the digits of every script as numbers; CSV does not.
    if not body.isascii() or b"_" in body:
        return None
    lines = body.decode("ascii").rstrip("\r\n").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    try:
        rows = [list(map(float, line.split(","))) for line in lines]
    except ValueError:
        return None
    width = len(rows[0])
    if any(len(row) != width for row in rows):
        return None
    np = library("numpy")
    return rows if np is None else np.array(rows)


def simd(body: bytes) -> Any:
    """simdjson: all cells as one JSON array. Numbers that JSON does not know (`+1`, `.5`, `007`, `nan`) give None."""
    if any(opener in body for opener in _OPENERS):
        return None
    if b"-0" in body and _MINUS_ZERO.search(body):
        return None  # read as an integer it would lose its sign
    lines = _lines(body)
    width = rectangle(lines)
    if not width:
        return None
    try:
        cells = library("simdjson").Parser().parse(b"[" + b",".join(lines) + b"]").as_buffer(of_type="d")
    except (ValueError, TypeError, RuntimeError):
        return None
    np = library("numpy")
    return np.frombuffer(cells, np.float64).reshape(-1, width)


def loadtxt(body: bytes) -> Any:
    """numpy's own reader, where simdjson is missing or refuses."""
    if not body.isascii() or b'"' in body or b"_" in body:
        return None
    lines = _lines(body)
    if not rectangle(lines):
        return None
    try:
        return library("numpy").loadtxt(lines, delimiter=",", comments=None, ndmin=2, encoding="ascii")
    except ValueError:
        return None


def rectangle(lines: list[bytes]) -> int:
    """The number of columns that every line has; 0 where they differ or one is blank."""
    counts = {line.count(b",") for line in lines}
    if len(counts) != 1 or b"" in lines:
        return 0
    return counts.pop() + 1


def _lines(body: bytes) -> list[bytes]:
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return body.rstrip(b"\n").split(b"\n")
