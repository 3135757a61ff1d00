"""From cells as callers send them to columns as a schema types them; what does not fit is named by row and column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from seaproof.errors import RequestError
from seaproof.formats.schema import Field
from seaproof.serving.codecs.libraries import library

Column = Any

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
"""What stands in a column of numbers where there is none, in any case of letters."""
_FLAGS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


def column(field: Field, cells: Any, first_row: int = 1) -> Column:
    """One column as the schema types it: float64 with NaN, or a list of str with None.

    `cells` is an array or a list of numbers, texts, booleans and None. RequestError 400 names the first that does not
    fit, counting rows from `first_row`.
    """
    if field.type == "str":
        return _texts(field, cells, first_row)
    numbers = _numbers(field, cells, first_row)
    if field.type == "int":
        _check_whole(field, numbers, first_row)
    return numbers


def matrix(fields: Sequence[Field], rows: Any) -> Any:
    """A matrix of numbers as the schema types it: float64. RequestError 400 where an `int` is none."""
    np = library("numpy")
    rows = np.ascontiguousarray(rows, np.float64)
    for number, field in enumerate(fields):
        if field.type == "int":
            _check_whole(field, rows[:, number], 1)
    return rows


def _texts(field: Field, cells: Any, first_row: int) -> list[str | None]:
    given = cells if isinstance(cells, list) else cells.tolist()
    if set(map(type, given)) == {str}:
        return [cell or None for cell in given]
    return [_text(field, cell, first_row + place) for place, cell in enumerate(given)]


def _text(field: Field, cell: Any, row: int) -> str | None:
    """A category as text: a whole number without a decimal point, as it stands in the file that it was trained on."""
    if isinstance(cell, str):
        return cell or None
    if cell is None or cell != cell:
        return None
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, (int, float)) or hasattr(cell, "isoformat"):
        return str(cell)
    raise _unfit(field, cell, row)


def _numbers(field: Field, cells: Any, first_row: int) -> Any:
    np = library("numpy")
    if not isinstance(cells, list):
        array = np.asarray(cells)
        if array.dtype.kind in "fiub":
            return array.astype(np.float64)
        cells = array.tolist()
    try:
        numbers = np.array(cells, np.float64)  # numbers, True and False, and texts that are numbers
        if numbers.ndim == 1:  # cells that are lists, all of one length, would make a matrix
            return numbers
    except (TypeError, ValueError, OverflowError):
        pass
    return np.array([_number(field, cell, first_row + place) for place, cell in enumerate(cells)])


def _number(field: Field, cell: Any, row: int) -> float:
    if isinstance(cell, (int, float)):
        try:
            return float(cell)
        except OverflowError:
            raise _unfit(field, cell, row) from None
    if cell is None:
        return math.nan
    if isinstance(cell, str):
        text = cell.strip().lower()
        if text in MISSING:
            return math.nan
        if text in _FLAGS:
            return _FLAGS[text]
        try:
            return float(text)
        except ValueError:
            pass
    raise _unfit(field, cell, row)


def _check_whole(field: Field, numbers: Any, first_row: int) -> None:
    np = library("numpy")
    uneven = np.flatnonzero(np.floor(numbers) != numbers)
    for place in uneven.tolist():
        if not math.isnan(numbers[place]):
            raise _unfit(field, float(numbers[place]), first_row + place)


def _unfit(field: Field, cell: Any, row: int) -> RequestError:
    kind = {"float": "a number", "int": "a whole number", "bool": "true or false", "str": "a text"}[field.type]
    try:
        shown = repr(cell)
    except ValueError:  # an integer of thousands of digits
        shown = "that"
    return RequestError(
        400,
        f"{shown if len(shown) <= 60 else shown[:57] + '...'} is not {kind}",
        where=f"row {row}, column {field.name}",
        next_step=f"The model takes {kind} there; leave the cell empty where there is none.",
    )
