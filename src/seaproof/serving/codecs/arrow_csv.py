"""Columns of a large CSV by pyarrow, where the image has it: ten times as fast as cell by cell.

The value is the one that `cells.py` gives, to the cell. Whatever could be read differently gives None, and is read
there: pyarrow forgets which cells were quoted, takes text after a closing quote, and knows other numbers than Python.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from seaproof.serving.codecs import cells
from seaproof.serving.codecs.libraries import library
from seaproof.serving.codecs.table import Column

_BOM = b"\xef\xbb\xbf"
_ODD_NAN = re.compile(rb"nan\(", re.IGNORECASE)
_NUMBER_OR_BLANK = re.compile(rb"[-+.\deE\s]+|\s*[-+]?(?:nan|inf(?:inity)?)\s*", re.IGNORECASE)
_EMPTY_AND_MORE = re.compile(rb'(?:^|[,\r\n])""[^,\r\n"]')
_NEGATIVE_ZERO = re.compile(rb"-0+\s*(?:[,\r\n]|\Z)")


def prepared(body: bytes) -> bytes | None:
    """This UTF-8 as `columns` takes it; None where there is no pyarrow, or the body is not for it."""
    if library("pyarrow.csv") is None or not _is_plain(body):
        return None
    body = body.lstrip(b"\r\n")
    # Without a line end, pyarrow takes an empty last cell for a quoted one.
    return body if body[-1:] in b"\r\n" else body + b"\n"


def _is_plain(body: bytes) -> bool:
    """Whether pyarrow sees the same cells, and what it does not tell of them is no matter."""
    if b"0x" in body or b"0X" in body or body.startswith(_BOM):
        return False
    if b"(" in body and _ODD_NAN.search(body):
        return False
    if b'"' not in body:
        return True
    if b'""' in body and _EMPTY_AND_MORE.search(body):
        return False
    parts = body.replace(b'""', b"").split(b'"')
    if len(parts) == 1:
        return True
    if len(parts) % 2 == 0 or any(map(_NUMBER_OR_BLANK.fullmatch, set(parts[1::2]))):
        return False
    # Between two quoted cells there is a separator on either side; elsewhere a quote would be text.
    between = set(parts[2:-1:2])
    ends = {parts[0][-1:], parts[-1][:1]} | {part[:1] for part in between} | {part[-1:] for part in between}
    return b"" not in between and ends <= {b",", b"\r", b"\n", b""}


def columns(body: bytes, width: int) -> list[Column] | None:
    """The columns of these rows of so many cells; None where they have to be looked at."""
    names = [f"f{number}" for number in range(width)]
    found = _read(body, {}, names)
    if found is None:
        return None
    made = [_numbers(column, body) for column in found]
    texts = [name for name, column in zip(names, made, strict=True) if column is None]
    if texts:
        arrow = library("pyarrow")
        again = _read(body, dict.fromkeys(texts, arrow.dictionary(arrow.int32(), arrow.string())), texts)
        if again is None:
            return None
        read = iter(again)
        made = [_texts(next(read)) if column is None else column for column in made]
    return made


def _read(body: bytes, types: dict[str, Any], names: Sequence[str]) -> list[Any] | None:
    """These columns, of these types or of those that pyarrow finds; None where it cannot read the body."""
    read = library("pyarrow.csv")
    try:
        table = read.read_csv(
            library("pyarrow").BufferReader(body),
            read_options=read.ReadOptions(autogenerate_column_names=True, block_size=len(body) + 1, use_threads=False),
            parse_options=read.ParseOptions(newlines_in_values=b'"' in body),
            convert_options=read.ConvertOptions(
                column_types=types,
                include_columns=names,
                null_values=[""],
                true_values=[],
                false_values=[],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except (ValueError, KeyError, OSError):  # ragged, or not UTF-8: which is worded elsewhere
        return None
    return list(table.columns)


def _numbers(column: Any, body: bytes) -> Column:
    """The numbers of a column that pyarrow takes for one of numbers; None for any other."""
    types = library("pyarrow").types
    np = library("numpy")
    if types.is_null(column.type):
        return np.full(len(column), np.nan)
    if types.is_floating(column.type):
        found = column.to_numpy()
        # `+1` is a whole number too, which pyarrow takes for a float.
        return None if b"+" in body and not column.null_count and (found == np.floor(found)).all() else found
    if not types.is_int64(column.type):
        return None
    if not column.null_count:
        return column.to_numpy()
    return None if _NEGATIVE_ZERO.search(body) else column.to_numpy().astype(np.float64)


def _texts(column: Any) -> Column:
    """The column of these texts, null where a cell is empty and was not quoted; of numbers where all are such."""
    np = library("numpy")
    joined = column.combine_chunks()
    texts = joined.dictionary.to_pylist()
    which = joined.indices.fill_null(len(texts)).to_numpy()
    numbers = cells.floats(texts)
    if numbers is None:
        kept = [None if text.isspace() else text for text in texts]
        return np.array([*kept, None], object)[which].tolist()
    whole = None if column.null_count else cells.integers(texts)
    return np.array([*numbers, np.nan], np.float64)[which] if whole is None else np.array(whole, np.int64)[which]
