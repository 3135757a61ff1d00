"""application/json. An array of numbers, of any regular shape, is an ndarray; everything else is plain Python values.

NaN, Infinity and -Infinity, which Python clients send although JSON has no such words, are read; they are never
written: NaN and infinities go out as null.
"""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

from seaproof.contract.http import MediaType
from seaproof.errors import RequestError
from seaproof.serving.codecs import numbers, shapes
from seaproof.serving.codecs.libraries import library
from seaproof.serving.codecs.text import encode_text, is_utf8, text_of, utf8

TYPE = "application/json"

_LARGE = 4096
_NUMERIC = b"0123456789.-+eE \t\r\n"


def decode(body: bytes, media: MediaType) -> Any:
    """Plain Python values; a (nested) array of numbers is an int64 or float64 ndarray where numpy is there."""
    body = utf8(body, media)
    if len(body) > _LARGE:
        array = _array(body)
        if array is not None:
            return array
    return as_array(value_of(body))


def _array(body: bytes) -> Any:
    """The array that a large list of numbers, or of equally long lists of numbers, is, by simdjson; None if unsure."""
    if library("numpy") is None or library("simdjson") is None or not body[:64].lstrip().startswith(b"["):
        return None
    marks = body.translate(None, _NUMERIC)
    rows, width = marks.count(b"[") - 1, marks.find(b"]") - 1
    row = b"[" + b"," * (width - 1) + b"]"
    if rows * len(row) > len(marks):
        return None  # not that shape, and what it would be compared with could be of any size
    if marks != (b"[" + b",".join([row] * rows) + b"]" if rows > 0 else row):
        return None
    kind = "d" if b"." in body or b"e" in body or b"E" in body else "i"
    array = numbers.flat(body.translate(None, b"[]"), kind)
    return array if array is None or not rows else array.reshape(rows, width)


def value_of(body: bytes, row: int = 1) -> Any:
    """The value of this JSON text, which is row `row` of its body."""
    orjson = library("orjson")
    if orjson is not None:
        try:
            return orjson.loads(body)
        except ValueError:
            pass  # the reader of the standard library takes more, and says more
    return _slow(body, row)


def _slow(body: bytes, row: int) -> Any:
    if not body.strip():
        raise RequestError(400, "the body is empty", next_step="Send a JSON value.")
    text = text_of(body, MediaType(TYPE))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"row {row + error.lineno - 1}, column {error.colno}"
        raise RequestError(400, f"not JSON: {error.msg}", where=where, next_step="Send valid JSON.") from error
    except RecursionError as error:
        raise RequestError(400, "JSON nested too deeply", where=f"row {row}", next_step="Flatten it.") from error
    except ValueError as error:
        raise RequestError(400, f"not JSON: {error}", where=f"row {row}", next_step="Send smaller numbers.") from error


def as_array(value: Any) -> Any:
    """The ndarray that a regular list of numbers is; any other value as it stands."""
    np = library("numpy")
    leaf = value
    while type(leaf) is list and leaf:
        leaf = leaf[0]
    if np is None or leaf is value or type(leaf) not in (int, float):
        return value
    try:
        array = np.array(value)
    except (ValueError, OverflowError):
        return value
    return array if array.dtype.kind in "if" else value


def encode(value: Any, media: MediaType) -> bytes:
    """JSON text; ndarrays and tables as nested arrays, tables with names as one object per row."""
    orjson = library("orjson")
    if orjson is not None and is_utf8(media):
        try:
            return orjson.dumps(value, shapes.tree, _options(orjson))  # type: ignore[no-any-return]
        except TypeError as error:
            if isinstance(error.__cause__, shapes.Unfit):
                raise error.__cause__ from None
            # what orjson does not write, numbers over 64 bits and keys that are not text, the standard library does
    try:
        text = json.dumps(finite(shapes.tree(value)), separators=(",", ":"), ensure_ascii=False)
    except (ValueError, RecursionError) as error:
        raise shapes.Unfit(f"a value nested too deeply, or in itself: {error}") from error
    return encode_text(text, media)


@cache
def _options(orjson: Any) -> int:
    """Arrays are written as they are; whatever else `shapes.tree` knows is left to it."""
    passed_on = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
    return int(orjson.OPT_SERIALIZE_NUMPY | passed_on)


def finite(value: Any) -> Any:
    """The tree with None in place of NaN and infinities, which JSON cannot say."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [finite(item) for item in value]
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return value
