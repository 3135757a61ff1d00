"""A Python function: model.py, with `predict(columns)`, and `load(model_dir)` where there is something to load.

`columns` is a dictionary of the columns that schema.json names: float64 arrays for numbers, lists of str for text. What
`load` returns is handed to `predict` as its second argument. The result is one value for each row, or a dictionary of
outputs by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seaproof.errors import ContractError
from seaproof.formats.code import imported
from seaproof.formats.identity import REGRESSION, completed
from seaproof.formats.model import Options, Rows, side_by_side
from seaproof.formats.schema import FILE, Schema


def load(path: Path, options: Options) -> Function:
    """Import model.py and call its `load`; what they raise passes through. ContractError for what cannot work."""
    module = imported(path)
    predict = getattr(module, "predict", None)
    if not callable(predict):
        raise ContractError(
            "it defines no predict",
            where=str(path),
            next_step="Define predict(columns), which returns one value for each row.",
        )
    schema = completed(Schema("", (), ()), path)
    if not schema.input:
        raise ContractError(
            f"there is no {FILE} beside it that names the columns",
            where=str(path),
            next_step='Write one: {"input": [{"name": "age", "type": "float"}], "output": []}.',
        )
    if not schema.output:
        schema = Schema(schema.id, schema.input, REGRESSION, schema.target, schema.classes)
    loader = getattr(module, "load", None)
    if not callable(loader):
        return Function(predict, schema)
    loaded = loader(str(path.parent))
    if len(inspect.signature(predict).parameters) < 2:
        raise ContractError(
            "it defines load, and its predict takes no second argument for what that returns",
            where=str(path),
            next_step="Define predict(columns, loaded).",
        )
    return Function(lambda columns: predict(columns, loaded), schema)


class Function:
    """One function, and the columns that it takes."""

    explain = None

    def __init__(self, predict: Callable[[dict[str, Any]], Any], schema: Schema) -> None:
        self.schema = schema
        self._predict = predict

    def predict(self, rows: Rows) -> Any:
        """What the function returns; of outputs by name, all of them, row by row, where there are several."""
        said = self._call(rows)
        if not isinstance(said, Mapping):
            return said
        return side_by_side([said[field.name] for field in self.schema.output])

    def score(self, rows: Rows) -> list[Any]:
        """Every output, column by column."""
        said = self._call(rows)
        if isinstance(said, Mapping):
            return [said[field.name] for field in self.schema.output]
        if isinstance(said, list):
            return [said]
        array = np.asarray(said)
        return list(array.T) if array.ndim == 2 else [array]

    def _call(self, rows: Rows) -> Any:
        columns = list(rows.T) if isinstance(rows, np.ndarray) else rows
        names = [field.name for field in self.schema.input]
        return self._predict(dict(zip(names, columns, strict=True)))
