"""Categories as numbers, for libraries whose models count them: each by its place among those that training saw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seaproof.errors import ContractError
from seaproof.formats.model import Rows
from seaproof.formats.schema import Schema


def check_categories(schema: Schema, categories: Mapping[int, Sequence[str]], path: Path) -> None:
    """ContractError for a column of text whose categories nobody knows."""
    for place, field in enumerate(schema.input):
        if field.type == "str" and not categories.get(place):
            raise ContractError(
                f"the column {field.name} is text, and neither {path.name} nor schema.json knows its categories",
                where=str(path),
                next_step="List them in schema.json, in the order in which the model was trained to count them.",
            )


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
