"""application/jsonlines (and application/x-ndjson): one JSON value per line."""

from __future__ import annotations

from typing import Any

from seaproof.contract.http import MediaType
from seaproof.errors import RequestError
from seaproof.serving.codecs import json, shapes
from seaproof.serving.codecs.table import Table
from seaproof.serving.codecs.text import utf8

TYPE = "application/jsonlines"
ALIAS = "application/x-ndjson"


def decode(body: bytes, media: MediaType) -> Any:
    """A list with the value of each line, blank ones left out; lines of numbers become an ndarray, as in JSON."""
    lines = utf8(body, media).split(b"\n")
    values = [json.value_of(line, row) for row, line in enumerate(lines, 1) if line.strip()]
    if not values:
        raise RequestError(400, "the body is empty", next_step="Send one JSON value per line.")
    return json.as_array(values)


def encode(value: Any, media: MediaType) -> bytes:
    """A line per row of an array, table or list; any other value is one line."""
    return b"".join([json.encode(item, media) + b"\n" for item in _items(value)])


def _items(value: Any) -> list[Any]:
    """The values that each go on a line of their own."""
    if isinstance(value, Table) or (hasattr(value, "to_dict") and hasattr(value, "columns")):
        return shapes.table_of(value).records()
    if hasattr(value, "tolist"):
        value = value.tolist()
    return list(value) if isinstance(value, (list, tuple)) else [value]
