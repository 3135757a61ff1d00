"""Several requests' decoded inputs as one, and one prediction cut up again: the algebra of batching.

Only inputs that predict_fn could not tell apart from one larger request are joined: same type, same columns, same
types of cells. Joined otherwise, a missing column would become NaN and a whole number a float, because of what a
stranger sent.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Sequence
from typing import Any

from seaproof.serving.codecs.table import Table, concatenate

LIST_ROWS = 256
"""A longer list goes alone: looking at its cells costs more than joining it would save."""


def rows_of(value: Any) -> int:
    """How many rows a decoded input has: its length, along the first axis of what has axes."""
    shape = getattr(value, "shape", None)
    return int(shape[0]) if shape else len(value)


def signature(value: Any) -> Hashable | None:
    """Equal for values that may be joined; None for one that is predicted alone."""
    kind = type(value)
    if kind is list:
        return _of_list(value)
    if kind is Table:
        return _of_table(value)
    module = kind.__module__.partition(".")[0]
    if module == "numpy" and kind is sys.modules["numpy"].ndarray:
        return (kind, value.shape[1:], value.dtype) if value.ndim > 1 and len(value) else None
    if module == "pandas" and kind is sys.modules["pandas"].DataFrame:
        plain = _is_plain(value.index) and len(value) and value.columns.is_unique
        return (kind, tuple(value.columns), tuple(value.dtypes)) if plain else None
    if module == "scipy" and getattr(value, "format", "") == "csr" and len(value.shape) == 2 and value.shape[0]:
        return (kind, value.shape[1], value.dtype)
    return None


def _of_list(rows: list[Any]) -> Hashable | None:
    if not 0 < len(rows) <= LIST_ROWS:
        return None
    first = _of_row(rows[0])
    return (list, first) if all(_of_row(row) == first for row in rows[1:]) else None


def _of_row(row: Any) -> Hashable:
    kind = type(row)
    if kind is dict:
        return (kind, tuple(row), tuple(map(type, row.values())))
    if kind is list or kind is tuple:
        return (kind, tuple(map(type, row)))
    return (kind, str(getattr(row, "shape", "")), str(getattr(row, "dtype", "")))


def _of_table(table: Table) -> Hashable | None:
    kinds = tuple(str(getattr(column, "dtype", "")) or _of_column(column) for column in table.columns)
    names = None if table.names is None else tuple(table.names)
    return (Table, names, kinds) if len(table) and None not in kinds else None


def _of_column(column: list[Any]) -> str | None:
    """The one type of cell in a column that is a list, a missing cell aside; None for a mixture."""
    kinds = set(map(type, column)) - {type(None)}
    return kinds.pop().__name__ if len(kinds) == 1 else None


def join(values: Sequence[Any]) -> Any:
    """One value with the rows of all, in order; their signatures are equal. Changing it changes none of them."""
    first = values[0]
    if isinstance(first, list):
        return [row.copy() if type(row) in (dict, list) else row for value in values for row in value]
    if isinstance(first, Table):
        return concatenate(values)
    module = type(first).__module__.partition(".")[0]
    if module == "pandas":
        return sys.modules["pandas"].concat(values, ignore_index=True)
    if module == "scipy":
        return sys.modules["scipy.sparse"].vstack(values, format="csr")
    return sys.modules["numpy"].concatenate(values)


def split(result: Any, counts: Sequence[int]) -> list[Any] | None:
    """The result for all rows as one result for each input, which had so many rows; None where it has not one for
    each row. A tuple is split if each of its members can be: such a function returns several arrays."""
    if type(result) is tuple:
        members = [split(member, counts) for member in result]
        if not members or None in members:
            return None
        return list(zip(*(member for member in members if member is not None), strict=True))
    shape = getattr(result, "shape", None)
    if type(result) is not list and type(result) is not Table and not isinstance(shape, tuple):
        return None
    if not (shape or isinstance(result, (list, Table))) or rows_of(result) != sum(counts):
        return None
    return _parts(result, counts)


def _parts(result: Any, counts: Sequence[int]) -> list[Any] | None:
    parts, start = [], 0
    pandas = sys.modules.get("pandas") if hasattr(result, "iloc") else None
    plain = pandas is not None and _is_plain(result.index)
    numpy = sys.modules.get("numpy")
    if numpy is not None and type(result) is numpy.ndarray and result.ndim > 1:
        result = numpy.ascontiguousarray(result)  # as it would be of one row, and as the encoders like it
    try:
        for count in counts:
            if pandas is None:
                part = result[start : start + count]
            else:
                part = result.iloc[start : start + count]
                part = part.reset_index(drop=True) if plain else part
            parts.append(part)
            start += count
    except (TypeError, IndexError, NotImplementedError):  # a format of scipy that cannot be cut, a type with no rows
        return None
    return parts


def _is_plain(index: Any) -> bool:
    """Whether an index is the one that pandas makes where nobody gives one."""
    return (
        type(index) is sys.modules["pandas"].RangeIndex and index.start == 0 and index.step == 1 and index.name is None
    )
