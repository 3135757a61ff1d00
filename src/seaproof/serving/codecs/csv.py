"""text/csv. A purely numeric body is a float64 matrix; anything else is a `Table` whose columns keep their meaning.

A header row is declared (`text/csv; header=present`, RFC 4180) or recognised: all text, no name twice, above at least
one column of numbers. Out goes no header unless Accept asks for one, because batch transform and serial pipelines take
every line for a record.
"""

from __future__ import annotations

from typing import Any

from seaproof.contract.http import MediaType
from seaproof.errors import RequestError
from seaproof.serving.codecs import cells, numbers, shapes
from seaproof.serving.codecs.table import Table
from seaproof.serving.codecs.text import encode_text, text_of, utf8

TYPE = "text/csv"


def decode(body: bytes, media: MediaType) -> Any:
    """A 2-D float64 array (rows by columns; a list of lists without numpy) or a `Table`."""
    header = media.parameter("header").lower() if media.parameters else ""
    plain = utf8(body, media)
    if header != "present":
        found = numbers.matrix(plain)
        if found is not None:
            return found
    text = text_of(plain, MediaType(TYPE))
    if "\0" in text:
        raise RequestError(400, "the body has a NUL character, so it is not CSV", next_step="Check the charset.")
    return _simplest(cells.table_of(text, header))


def _simplest(table: Table) -> Any:
    """The matrix that a nameless table of numbers is."""
    columns = table.columns
    if table.names is not None or any(_is_text(column) for column in columns):
        return table
    if isinstance(columns[0], list):
        return [list(map(float, row)) for row in table.rows()]
    return table.numpy()


def _is_text(column: Any) -> bool:
    return isinstance(column, list) and any(cell is None or isinstance(cell, str) for cell in column)


def encode(value: Any, media: MediaType) -> bytes:
    """One line per row; a float is its shortest form that reads back the same, NaN is `nan`, None an empty cell."""
    if isinstance(value, str):
        return encode_text(value, media)
    table = shapes.table_of(value)
    lines = [",".join(map(_cell, row)) or '""' for row in table.rows()]
    if media.parameter("header").lower() == "present" and table.names is not None:
        lines.insert(0, ",".join(map(_cell, table.names)))
    return encode_text("\n".join(lines) + "\n" if lines else "", media)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        if not value or '"' in value or "," in value or "\n" in value or "\r" in value or cells.reads_as_other(value):
            return '"' + value.replace('"', '""') + '"'
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return _cell(shapes.tree(value))
