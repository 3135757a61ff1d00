"""What an author's function may return, brought into one of the two shapes that formats know: a tree or a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seaproof.serving.codecs.libraries import library
from seaproof.serving.codecs.table import Table

_SCALARS = (str, int, float, bool, type(None))


class Unfit(Exception):
    """This value has no form in this format; says why."""


def tree(value: Any) -> Any:
    """The value as dicts, lists, str, int, float, bool and None, as JSON has them; or `Unfit`."""
    if isinstance(value, (str, int, float, bool, type(None))) and type(value) in _SCALARS:
        return value
    if isinstance(value, Table):
        return [tree(record) for record in value.records()]
    if isinstance(value, Mapping):
        return {str(key): tree(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [tree(item) for item in value]
    if hasattr(value, "tolist"):  # ndarrays and numpy scalars, pandas Series
        plain = value.tolist()
        return plain if type(plain) in _SCALARS else tree(plain)
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return tree(table_of(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _decoded(bytes(value))
    if hasattr(value, "isoformat"):  # dates and times
        return value.isoformat()
    for plain_type in (bool, int, float, str):  # subclasses
        if isinstance(value, plain_type):
            return plain_type(value)
    raise Unfit(f"a value of type {type(value).__name__}")


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Unfit("bytes that are not UTF-8") from error


def table_of(value: Any) -> Table:
    """The value as rows and columns: arrays, lists of rows or of values, dicts of columns, frames, scalars."""
    if isinstance(value, Table):
        return value
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return Table(
            [_plain_column(value.iloc[:, i]) for i in range(len(value.columns))], list(map(str, value.columns))
        )
    if hasattr(value, "toarray"):  # a sparse matrix of scipy
        value = value.toarray()
    if isinstance(value, Mapping):
        return _of_mapping(value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return _of_rows([item.tolist() if hasattr(item, "tolist") else item for item in value])
    return _of_rows([value])


def _plain_column(series: Any) -> Any:
    missing = series.isna().tolist()
    return [None if gone else cell for cell, gone in zip(series.tolist(), missing, strict=True)]


def _of_mapping(value: Mapping[Any, Any]) -> Table:
    columns = [item.tolist() if hasattr(item, "tolist") else item for item in value.values()]
    columns = [list(item) if isinstance(item, (list, tuple)) else [item] for item in columns]
    try:
        return _checked(Table(columns, list(map(str, value))))
    except ValueError as error:
        raise Unfit("a dict whose values are not columns of one length") from error


def _of_rows(rows: list[Any]) -> Table:
    if rows and all(isinstance(row, Mapping) for row in rows):
        names = list(rows[0])
        if any(list(row) != names for row in rows):
            raise Unfit("a list of dicts with different keys")
        return _checked(Table([[row[name] for row in rows] for name in names], list(map(str, names))))
    lists = [list(row) if isinstance(row, (list, tuple)) else [row] for row in rows]
    if len({len(row) for row in lists}) > 1:
        raise Unfit("a list of rows of different lengths")
    return _checked(Table([list(column) for column in zip(*lists, strict=True)]))


def _checked(table: Table) -> Table:
    """The table, whose cells are all single values; `Unfit` where one is itself a list or a dict."""
    np = library("numpy")
    plain = []
    for column in table.columns:
        cells = [cell.item() if np is not None and isinstance(cell, np.generic) else cell for cell in column]
        if any(isinstance(cell, (list, tuple, dict, set)) for cell in cells):
            raise Unfit("a nested value")
        plain.append(cells)
    return Table(plain, table.names)
