"""CSV cell by cell: slower than `numbers.py`, right for everything, and the one that words the errors.

The grammar is RFC 4180 with any of CRLF, LF and CR as line end; lines without a comma or a visible character are
skipped. A cell is a number if it is unquoted and float() reads it, save that underscores and the digits of other
scripts make it text. A cell is missing if it is empty (quoted or not) or blank. A column is numeric if every cell that
is not missing is a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from seaproof.errors import RequestError
from seaproof.serving.codecs.libraries import library
from seaproof.serving.codecs.table import Column, Table

COLUMNS_MAX = 100_000
"""Columns of a table; each costs some ten microseconds, so that a row of millions would take minutes."""

_TOKEN = re.compile(
    r'("[^"]*(?:""[^"]*)*"|[^",\r\n][^,\r\n]*|)(,|\r\n|\n|\r|\Z)|(?s:(.+))'
)  # the last alternative takes whatever is malformed, to its end
_WHOLE = re.compile(r"[-+0-9 \t]*")


def value_of(text: str, header: str = "") -> Any:
    """The matrix or `Table` of this text; `header` is `present`, `absent` or empty for a look at the first row."""
    columns: Sequence[Sequence[str]] = _plain_columns(text) or list(zip(*_rows(text), strict=True))
    if not columns:
        raise RequestError(400, "the body is empty", next_step="Send at least one row.")
    first = [cells[0] for cells in columns]
    if len(first) > COLUMNS_MAX:
        raise RequestError(
            400,
            f"row 1 has {len(first):,} columns; a table that is not all numbers may have {COLUMNS_MAX:,}",
            where=f"row 1, column {COLUMNS_MAX + 1}",
            next_step="Send wide data as application/x-npy or application/x-parquet.",
        )
    names = texts_of(first) if header == "present" else None
    if header not in ("present", "absent"):
        names = names_of(first)
        if names is not None and not any(_has_numbers(cells[1:]) for cells in columns):
            names = None
    if names is not None:
        columns = [cells[1:] for cells in columns]
    values = list(map(floats, columns))
    if names is None and None not in values:
        return _matrix(values)
    return Table(list(map(column_of, columns, values)), names)


def _matrix(columns: list[list[float] | None]) -> Any:
    np = library("numpy")
    return list(map(list, zip(*columns, strict=True))) if np is None else np.array(columns).T.copy()


def _plain_columns(text: str) -> list[list[str]]:
    """The columns of a text whose rows are equally long; empty where `_rows` has to look closer.

    What stands between quotes is put aside while the rest is cut at its commas, with NUL in its place. So a cell that
    was quoted is nothing but NUL, one more for each quote within it.
    """
    pieces = text.split('"')
    if len(pieces) % 2 == 0 or "\0" in text:
        return []
    lines = "\0".join(pieces[::2]).rstrip("\r\n").replace("\r\n", "\n").replace("\r", "\n")
    width = lines.partition("\n")[0].count(",") + 1
    if width == 1 or width > COLUMNS_MAX or any(line.count(",") != width - 1 for line in lines.split("\n")):
        return []
    cells = lines.replace("\n", ",").split(",")
    if len(pieces) > 1 and not _put_back(cells, pieces[1::2]):
        return []
    return [cells[number::width] for number in range(width)]


def _put_back(cells: list[str], quoted: list[str]) -> bool:
    """Put what was quoted where its NULs are; False where a cell holds more than that."""
    at = 0
    for number, cell in enumerate(cells):
        if "\0" in cell:
            if cell == "\0":
                cells[number] = f'"{quoted[at]}"'
            elif cell.strip("\0"):
                return False
            else:
                cells[number] = '"' + '""'.join(quoted[at : at + len(cell)]) + '"'
            at += len(cell)
    return True


def _rows(text: str) -> list[list[str]]:
    """Rows of raw cells, quoted ones still with their quotes; all rows are of the same length."""
    if '"' in text:
        rows: Iterable[list[str]] = _tokens(text)
    else:
        rows = (line.split(",") for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    kept, width = [], 0
    for number, row in enumerate(rows, 1):
        if len(row) == 1 and not row[0].strip():
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


def names_of(first: Sequence[str]) -> list[str] | None:
    """The column names in a row of raw cells: all text, none twice; None where it is no such row."""
    names = [text_of(cell) for cell in first]
    if not all(names) or len(set(names)) < len(names) or any(map(_is_number, first)):
        return None
    return [name or "" for name in names]


def row_of(line: str) -> list[str]:
    """The raw cells of one line; empty where it is more or less than one row."""
    try:
        rows = _rows(line)
    except RequestError:
        return []
    return rows[0] if len(rows) == 1 else []


def texts_of(first: Sequence[str]) -> list[str]:
    """The texts of a row of raw cells, empty where missing."""
    return [text_of(cell) or "" for cell in first]


def _has_numbers(cells: Sequence[str]) -> bool:
    """Whether there is a number in this column, and nothing but numbers."""
    return not all(map(_is_missing, cells)) and floats(cells) is not None


def _is_missing(cell: str) -> bool:
    return cell == '""' or not cell or cell.isspace()


def _is_number(cell: str) -> bool:
    if not cell.isascii() or "_" in cell:
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True


def text_of(cell: str) -> str | None:
    """The text of a raw cell; None where it is missing."""
    if cell[:1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell if cell and not cell.isspace() else None


def column_of(cells: Sequence[str], values: list[float] | None) -> Column:
    """The column of these raw cells, whose numbers `floats` has told."""
    if values is None:
        texts = {cell: text_of(cell) for cell in set(cells)}  # most columns of text say the same few things
        return list(map(texts.__getitem__, cells))
    np: Any = library("numpy")
    whole = integers(cells)
    if whole is not None:
        return whole if np is None else np.array(whole, np.int64)
    return values if np is None else np.array(values, np.float64)


def floats(cells: Sequence[str]) -> list[float] | None:
    """The numbers of a column, NaN for what is missing; None where a cell is neither."""
    joined = "".join(cells)
    if not joined.isascii() or "_" in joined:
        return None
    try:
        return list(map(float, cells))
    except ValueError:
        pass
    try:
        # `_is_missing`, without the call for each cell.
        return [float(cell) if cell and cell != '""' and not cell.isspace() else math.nan for cell in cells]
    except ValueError:
        return None


def integers(cells: Sequence[str]) -> list[int] | None:
    """The numbers of a column whose every cell is a whole number of 64 bits, or None."""
    if not cells or not _WHOLE.fullmatch("".join(cells)):
        return None
    try:
        whole = list(map(int, cells))
    except ValueError:  # a missing cell, or thousands of digits
        return None
    return whole if min(whole) >= -(2**63) and max(whole) < 2**63 else None


def reads_as_other(text: str) -> bool:
    """Whether this text, unquoted, would be read as a number or as missing."""
    return _is_missing(text) or _is_number(text)
