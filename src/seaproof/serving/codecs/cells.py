"""CSV cell by cell: slower than `numbers.py`, right for everything, and the one that words the errors.

The grammar is RFC 4180 with any of CRLF, LF and CR as line end; blank lines are skipped. A cell is a number if it is
unquoted and float() reads it, save that underscores and the digits of other scripts make it text. A cell is missing if
it is empty (quoted or not) or blank. A column is numeric if every cell that is not missing is a number.
"""

from __future__ import annotations

import re
from typing import Any

from seaproof.errors import RequestError
from seaproof.serving.codecs.libraries import library
from seaproof.serving.codecs.table import Column, Table

_TOKEN = re.compile(r'("[^"]*(?:""[^"]*)*"|[^",\r\n][^,\r\n]*|)(,|\r\n|\n|\r|\Z)|(?s:(.))')
_WHOLE = re.compile(r"[-+0-9 ]*")
_WORDS = {"present": True, "absent": False}


def table_of(text: str, header: str = "") -> Table:
    """The table of this text; `header` is `present`, `absent` or empty for a look at the first row."""
    rows = _rows(text)
    if not rows:
        raise RequestError(400, "the body is empty", next_step="Send at least one row.")
    first = rows[0]
    columns = list(zip(*rows, strict=True))
    named = _WORDS.get(header)
    if named is None:
        named = _is_header(columns)
    if not named:
        return Table([_column(list(cells)) for cells in columns])
    return Table([_column(list(cells[1:])) for cells in columns], [_text(cell) or "" for cell in first])


def _rows(text: str) -> list[list[str]]:
    """Rows of raw cells, quoted ones still with their quotes; all rows are of the same length."""
    if '"' in text:
        rows = _tokens(text)
    else:
        rows = [line.split(",") for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    kept, width = [], 0
    for number, row in enumerate(rows, 1):
        if row == [""]:
            continue
        width = width or len(row)
        if len(row) != width:
            raise RequestError(
                400,
                f"row {number} has {_count(len(row))}, expected {width}",
                where=f"row {number}, column {min(len(row), width) + (len(row) > width)}",
                next_step="Give every row the same number of columns; quote cells that contain a comma.",
            )
        kept.append(row)
    return kept


def _count(columns: int) -> str:
    return f"{columns} column" if columns == 1 else f"{columns} columns"


def _tokens(text: str) -> list[list[str]]:
    rows: list[list[str]] = []
    row: list[str] = []
    for cell, end, bad in _TOKEN.findall(text):
        if bad:
            raise _misquoted(rows, row)
        row.append(cell)
        if end != ",":
            rows.append(row)
            row = []
    return rows


def _misquoted(rows: list[list[str]], row: list[str]) -> RequestError:
    return RequestError(
        400,
        "a quoted cell is not closed, or text follows its closing quote",
        where=f"row {len(rows) + 1}, column {len(row) + 1}",
        next_step='Write a quote inside a quoted cell as two quotes: "5"" pipe".',
    )


def _is_header(columns: list[tuple[str, ...]]) -> bool:
    """Whether the first row names the columns: all text, none twice, above at least one column of numbers."""
    names = [_text(cells[0]) for cells in columns]
    if not all(names) or len(set(names)) < len(names) or any(_is_number(cells[0]) for cells in columns):
        return False
    return any(_is_numeric(cells[1:]) for cells in columns)


def _is_numeric(cells: tuple[str, ...]) -> bool:
    kept = [cell for cell in cells if not _is_missing(cell)]
    return bool(kept) and all(map(_is_number, kept))


def _is_missing(cell: str) -> bool:
    return cell == '""' or not cell.strip()


def _is_number(cell: str) -> bool:
    if not cell.isascii() or "_" in cell:
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _text(cell: str) -> str | None:
    if cell[:1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell if cell.strip() else None


def _column(cells: list[str]) -> Column:
    if not all(_is_missing(cell) or _is_number(cell) for cell in cells):
        return [_text(cell) for cell in cells]
    np: Any = library("numpy")
    if _are_whole(cells):
        whole = list(map(int, cells))
        if all(-(2**63) <= number < 2**63 for number in whole):
            return whole if np is None else np.array(whole, np.int64)
    values = [float("nan") if _is_missing(cell) else float(cell) for cell in cells]
    return values if np is None else np.array(values, np.float64)


def _are_whole(cells: list[str]) -> bool:
    """Whether all are whole numbers that may fit 64 bits; none is missing."""
    return bool(cells) and all(len(cell) < 40 and cell.strip() and _WHOLE.fullmatch(cell) for cell in cells)


def reads_as_other(text: str) -> bool:
    """Whether this text, unquoted, would be read as a number or as missing."""
    return _is_missing(text) or _is_number(text)
