"""text/csv. A purely numeric body is a float64 matrix; anything else is a `Table` whose columns keep their meaning.

A header row is declared (`text/csv; header=present`, RFC 4180) or recognised: all text, no name twice, above at least
one column of numbers. Out goes no header unless Accept asks for one, because batch transform and serial pipelines take
every line for a record.
"""

from __future__ import annotations

from typing import Any

from seaproof.contract.http import MediaType
from seaproof.errors import RequestError
from seaproof.serving.codecs import cells, large_csv, numbers, shapes
from seaproof.serving.codecs.libraries import library
from seaproof.serving.codecs.table import Table
from seaproof.serving.codecs.text import encode_text, is_utf8, text_of, utf8

TYPE = "text/csv"

_STARTS = frozenset(bytes((byte,)) for byte in b"0123456789+-.,nNiI \t\r\n")
"""What a body of numbers begins with; a header row or text is told by its first byte."""


def decode(body: bytes, media: MediaType) -> Any:
    """A 2-D float64 array (rows by columns; a list of lists without numpy) or a `Table`."""
    header = media.parameter("header").lower() if media.parameters else ""
    plain = utf8(body, media)
    if header != "present" and plain[:1] in _STARTS:
        found = numbers.matrix(plain)
        if found is not None:
            return found
    if header != "absent" and len(plain) > numbers.SMALL:
        named = _named(plain, header)
        if named is not None:
            return named
    if len(plain) >= large_csv.LARGE:
        found = large_csv.table_of(plain, header)
        if found is not None:
            return found
    text = text_of(plain, MediaType(TYPE))
    if "\0" in text:
        raise RequestError(400, "the body has a NUL character, so it is not CSV", next_step="Check the charset.")
    return cells.value_of(text, header)


def _named(plain: bytes, header: str) -> Table | None:
    """The table of a large body that is a header row above numbers; None where it is anything else."""
    head, _, rest = plain.partition(b"\n")
    first = cells.row_of(head.decode("utf-8", "replace"))
    names = cells.texts_of(first) if header == "present" else cells.names_of(first)
    if not first or names is None or not rest or "\ufffd" in head.decode("utf-8", "replace"):
        return None
    columns = numbers.columns(rest)
    if columns is None or len(columns) != len(names) or any(column is None for column in columns):
        return None
    if all((column != column).all() for column in columns):
        return None
    return Table(columns, names)


def encode(value: Any, media: MediaType) -> bytes:
    """One line per row; a float is its shortest form that reads back the same, NaN is `nan`, None an empty cell."""
    if isinstance(value, str):
        return encode_text(value, media)
    if is_utf8(media):
        lines = _numbers(value)
        if lines is not None:
            return lines
    table = shapes.table_of(value)
    texts = [",".join(map(_cell, row)) or '""' for row in table.rows()]
    if media.parameter("header").lower() == "present" and table.names is not None:
        texts.insert(0, ",".join(map(_cell, table.names)))
    return encode_text("\n".join(texts) + "\n" if texts else "", media)


def _numbers(value: Any) -> bytes | None:
    """The fast way for lists and arrays of finite numbers; None for any other value."""
    if type(value) is list and all(type(item) is float or type(item) is int for item in value):
        return "".join([f"{item!r}\n" for item in value]).encode()
    if type(value) is list and all(type(row) is list and row for row in value):
        widths, kinds = {len(row) for row in value}, {type(cell) for row in value for cell in row}
        if len(widths) == 1 and kinds <= {int, float}:
            return "".join([",".join(map(repr, row)) + "\n" for row in value]).encode()
        return None
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    np: Any = library("numpy")
    if kind not in ("i", "u", "f") or type(value) is not np.ndarray or value.ndim not in (1, 2) or not value.size:
        return None
    orjson = library("orjson")
    if (
        orjson is not None
        and value.dtype.isnative
        and value.itemsize <= 8
        and (kind != "f" or np.isfinite(value).all())
    ):
        text: bytes = orjson.dumps(np.ascontiguousarray(value), None, orjson.OPT_SERIALIZE_NUMPY)
        if value.ndim == 1:
            return text[1:-1].replace(b",", b"\n") + b"\n"
        return text[2:-2].replace(b"],[", b"\n") + b"\n"
    if value.ndim == 1:
        return "".join([f"{item!r}\n" for item in value.tolist()]).encode()
    return "".join([",".join(map(repr, row)) + "\n" for row in value.tolist()]).encode()


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
