"""Large CSV that is not all numbers: the `Table` that `cells.py` gives, to the cell, by the fastest way there is.

A way gives the columns, or None for whatever it might read differently; what none of them reads is read cell by cell.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from seaproof.serving.codecs import arrow_csv, cells, mixed_csv
from seaproof.serving.codecs.libraries import library
from seaproof.serving.codecs.table import Column, Table

LARGE = 32 * 1024
"""Bytes from which it is worth the way."""
COLUMNS_MAX = 2000

WAYS = (arrow_csv, mixed_csv)
_LINE_END = re.compile(rb"\r\n|\r|\n")


def table_of(body: bytes, header: str) -> Table | None:
    """The `Table` of this UTF-8 as `cells.value_of` has it of its text; None where that has to look itself."""
    if library("numpy") is None or any(byte in body for byte in mixed_csv.HIDDEN):
        return None
    for way in WAYS:
        rows = way.prepared(body)
        found = None if rows is None else read(rows, header, way.columns)
        if found is not None:
            return found
    return None


def read(body: bytes, header: str, columns_of: Callable[[bytes, int], list[Column] | None]) -> Table | None:
    """The table of a body by one of the ways."""
    head, *rest = _LINE_END.split(body, maxsplit=1)
    first = _first_row(head) if head.count(b",") < COLUMNS_MAX else []
    # Of one column, a blank line is no row; and a first line in which a quote is left open is no row yet.
    if not 1 < len(first) <= COLUMNS_MAX or not rest or not rest[0]:
        return None
    names = cells.texts_of(first) if header == "present" else cells.names_of(first) if header != "absent" else None
    if names is not None:
        columns = columns_of(rest[0], len(first))
        if columns is None:
            return None
        if header == "present" or any(map(_has_numbers, columns)):
            return Table(columns, [name.translate(mixed_csv.SHOWN) for name in names])
        if any(map(_is_numeric, columns)):
            return None  # all missing, or all `nan` in words, which is a number
    columns = columns_of(body, len(first))
    return None if columns is None or all(map(_is_numeric, columns)) else Table(columns)


def _first_row(line: bytes) -> list[str]:
    """The raw cells of a line; empty where it is no row, or not UTF-8."""
    try:
        row = cells.row_of(line.decode())
    except UnicodeDecodeError:
        return []
    return [] if any(map(mixed_csv.is_misread, row)) else row


def _is_numeric(column: Column) -> bool:
    return not isinstance(column, list)


def _has_numbers(column: Column) -> bool:
    return _is_numeric(column) and bool((column == column).any())
