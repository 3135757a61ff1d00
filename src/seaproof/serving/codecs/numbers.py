"""The fast ways from a purely numeric CSV to a matrix.

Each way returns None for anything it is not sure about: another character, a ragged row, a blank line. The caller
then reads cell by cell (`cells.py`), which is slower and always right, and which alone words the errors.
"""

from __future__ import annotations

from typing import Any

from seaproof.serving.codecs.libraries import library

SMALL = 256
"""Bytes below which plain Python is faster than a call into a library."""

_PIECE = 256 * 1024
_ONES = bytes(number.bit_count() for number in range(256))
_WHOLE = b"0123456789-+ \t"


def matrix(body: bytes) -> Any:
    """A float64 ndarray, rows by columns (a list of lists without numpy), or None if this is not purely numeric.

    Empty cells are NaN.
    """
    body = lines_of(body)
    end = body.find(b"\n")
    first = body if end < 0 else body[:end]
    if len(body) > SMALL and b'"' not in first and few(filled(first)) is None:
        return None  # known by its first row, which is most of what is not numeric
    found = None if len(body) > SMALL and _has_gaps(body) else _matrix(body)
    if found is None and b'"' not in body and _has_gaps(body):
        found = _between_gaps(body)
        found = _matrix(filled(body)) if found is None else found
    return found


def _matrix(body: bytes) -> Any:
    if len(body) <= SMALL or library("numpy") is None:
        return few(body)
    if library("simdjson") is not None:
        found = simd(body)
        if found is not None:
            return found
    return loadtxt(body)


def lines_of(body: bytes) -> bytes:
    """The body with LF line ends and none at its end."""
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return body.rstrip(b"\n")


def columns(body: bytes) -> Any:
    """The columns of a purely numeric body, int64 where every cell is a whole number; None where `matrix` gives it.

    A column of whole numbers that a float64 may have rounded is None.
    """
    array = matrix(body)
    np = library("numpy")
    if array is None or np is None:
        return None
    marks = np.frombuffer(lines_of(body).translate(None, _WHOLE), np.uint8)
    others = np.flatnonzero((marks != 44) & (marks != 10))  # neither comma nor line feed
    separators_before = others - np.arange(len(others))
    whole = np.isfinite(array).all(0)
    whole &= np.bincount(separators_before % array.shape[1], minlength=array.shape[1]) == 0
    return [_exact(column) if exact else column for column, exact in zip(array.T, whole, strict=True)]


def _exact(column: Any) -> Any:
    np = library("numpy")
    return column.astype(np.int64) if np.abs(column).max(initial=0) < 2**53 else None


def filled(body: bytes, gap: bytes = b"nan") -> bytes:
    """The body with `gap` in its empty cells; line ends are LF."""
    body = body.replace(b",,", b",%b," % gap).replace(b",,", b",%b," % gap)
    body = body.replace(b"\n,", b"\n%b," % gap).replace(b",\n", b",%b\n" % gap)
    return (gap if body[:1] == b"," else b"") + body + (gap if body[-1:] == b"," else b"")


def _has_gaps(body: bytes) -> bool:
    return body[:1] == b"," or body[-1:] == b"," or any(pair in body for pair in (b",,", b",\n", b"\n,"))


def _between_gaps(body: bytes) -> Any:
    """simdjson, which knows no `nan`, for a large body with empty cells; None where it refuses."""
    if len(body) <= SMALL or library("simdjson") is None or library("numpy") is None:
        return None
    found = simd(filled(body, b"1"))
    if found is None:
        return None
    np = library("numpy")
    text = np.frombuffer(body, np.uint8)
    ends = np.flatnonzero((text == 0x0A) | (text == 0x2C))
    widths = np.diff(ends, prepend=-1, append=len(body))
    return np.where(widths.reshape(found.shape) == 1, np.nan, found)


def few(body: bytes) -> Any:
    """Plain Python: the fastest for a few cells, and the only way without numpy."""
    # float() reads underscores and the digits of every script as numbers; CSV does not.
    if not body.isascii() or b"_" in body:
        return None
    try:
        rows = [list(map(float, line.split(","))) for line in body.decode("ascii").split("\n")]
    except ValueError:
        return None
    width = len(rows[0])
    if any(len(row) != width for row in rows):
        return None
    np = library("numpy")
    return rows if np is None else np.array(rows)


def simd(body: bytes) -> Any:
    """simdjson: all cells as one JSON array. Numbers that JSON does not know (`+1`, `.5`, `007`, `nan`) give None."""
    # What else is no number, simdjson refuses; a list within the list it would read as the cells of that.
    shape = None if b"[" in body or not body else rectangle(body)
    if shape is None:
        return None
    array = flat(body.replace(b"\n", b","), "d", shape[0] * shape[1])
    if array is None or (not array.all() and _has_signed_zero(body)):
        return None
    return array.reshape(shape)


def _has_signed_zero(body: bytes) -> bool:
    """Whether a cell is -0, which JSON reads as an integer without a sign; -0.0 it reads as it is."""
    text = library("numpy").frombuffer(body, "u1")
    zeros = text[:-1] == 0x30
    zeros &= text[1:] < 0x2D  # a separator or a blank, and nothing that a number goes on with
    zeros[1:] &= text[:-2] == 0x2D
    return bool(zeros[1:].any()) or body.endswith(b"-0")


def flat(text: bytes, kind: str, cells: int = 0) -> Any:
    """The JSON numbers in a text with commas between them, by simdjson: float64 (`d`) or int64 (`i`); None if unsure.
    `cells`: how many there are, where that is known.

    In pieces that stay in the processor's cache; the memory that one large parse needs costs more than the parse.
    """
    parser, parts, at = library("simdjson").Parser(), [], 0
    dtype = "f8" if kind == "d" else "i8"
    try:
        while at <= len(text):
            end = text.find(b",", at + _PIECE)
            end = len(text) if end < 0 else end
            parsed = parser.parse(b"[%b]" % text[at:end]).as_buffer(of_type=kind)
            parts.append(library("numpy").frombuffer(parsed, dtype))
            at = end + 1
    except (ValueError, TypeError, RuntimeError):
        return None
    array = parts[0] if len(parts) == 1 else library("numpy").concatenate(parts)
    return array if len(array) == (cells or text.count(b",") + 1) else None


def loadtxt(body: bytes) -> Any:
    """numpy's own reader, where simdjson is missing or refuses."""
    if not body.isascii() or b'"' in body or b"_" in body or not body.strip():
        return None
    try:
        return library("numpy").loadtxt(body.split(b"\n"), delimiter=",", comments=None, ndmin=2, encoding="ascii")
    except ValueError:
        return None


def rectangle(body: bytes) -> tuple[int, int] | None:
    """Rows and columns, where every line has as many cells; None otherwise.

    A bit for each byte says where the commas are, and a running count of these how many there were before each line
    feed: twice as fast as any way that looks at the bytes themselves.
    """
    np = library("numpy")
    text = np.frombuffer(body, np.uint8)
    bits = np.packbits(text == 0x2C)
    counted = np.cumsum(_ones(bits), dtype=np.int64)
    ends = np.flatnonzero(text == 0x0A)
    rows, commas = len(ends) + 1, int(counted[-1])
    if commas % rows:
        return None
    before = counted[ends >> 3] - _ones(bits[ends >> 3] & (0xFF >> (ends & 7)).astype(np.uint8))
    each = commas // rows
    return (rows, each + 1) if (before == np.arange(1, rows) * each).all() else None


def _ones(bits: Any) -> Any:
    return library("numpy").frombuffer(bits.tobytes().translate(_ONES), "u1")
