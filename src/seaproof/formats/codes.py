"""Categories as numbers, for libraries whose models count them: each by its place among those that training saw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seaproof.formats.model import Rows


class Codes:
    """The categories of some columns, by the column's place."""

    def __init__(self, categories: Mapping[int, Sequence[str]]) -> None:
        self._codes = {
            place: {category: float(code) for code, category in enumerate(known)} for place, known in categories.items()
        }

    def matrix(self, rows: Rows) -> Any:
        """The rows as float64, rows by columns; NaN for what is missing, and for what training has not seen."""
        if isinstance(rows, np.ndarray):
            return rows
        return np.column_stack([self._column(place, column) for place, column in enumerate(rows)])

    def _column(self, place: int, column: Any) -> Any:
        codes = self._codes.get(place)
        return column if codes is None else [codes.get(cell, math.nan) for cell in column]
