"""The columns of the income data, and how cells become the array that the model takes; used by both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seaproof.errors import RequestError

LABEL = "income"
COLUMNS = (
    "age",
    "workclass",
    "education",
    "marital_status",
    "occupation",
    "relationship",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
)
NUMBERS = ("age", "capital_gain", "capital_loss", "hours_per_week")
CATEGORIES = tuple(name for name in COLUMNS if name not in NUMBERS)


def to_array(rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Rows as name -> cell to an object array of shape (rows, columns): floats and texts, in the order of COLUMNS.

    A missing number is nan, a missing category the empty text. Names that are no column are left aside.
    """
    array = np.empty((len(rows), len(COLUMNS)), dtype=object)
    for number, row in enumerate(rows, start=1):
        missing = [name for name in COLUMNS if name not in row]
        if missing:
            raise RequestError(
                400,
                f"row {number} has no {', '.join(missing)}",
                next_step=f"Each row needs: {', '.join(COLUMNS)}. A value may be empty.",
            )
        array[number - 1] = [_cell(row[name], name, number) for name in COLUMNS]
    return array


def _cell(value: Any, name: str, number: int) -> float | str:
    text = "" if value is None else str(value).strip()
    if name not in NUMBERS:
        return "" if text == "?" else text
    if text in ("", "?"):
        return float("nan")
    try:
        return float(text)
    except ValueError:
        raise RequestError(
            400, f"row {number}: {name} is {text!r}, not a number", next_step="Leave the cell empty if it is unknown."
        ) from None
