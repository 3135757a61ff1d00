"""Serving: the functions that SageMaker's inference toolkit names. Leave out one and its default is taken.

Without input_fn and output_fn, bodies are read and answers written by seaproof, in CSV, JSON and other formats. What
is malformed is answered with 400, a content type that nobody reads with 415, one that nobody writes with 406.
"""

import json
from math import isfinite
from pathlib import Path

from train import nearest

from seaproof.errors import RequestError


def model_fn(model_dir):
    """Load the model, once, before the first request."""
    return json.loads((Path(model_dir) / "centroids.json").read_text())


def predict_fn(rows, model):
    """One label for each row, of as many numbers as the model has columns."""
    width = len(next(iter(model.values())))
    if hasattr(rows, "rows"):  # CSV with text in it, or with a header, comes as a table
        rows = rows.rows()
    if not hasattr(rows, "__iter__"):
        rows = [rows]
    return [nearest(model, point(row, width, f"row {index}")) for index, row in enumerate(rows, 1)]


def point(row, width, where):
    """The numbers of a row. What a RequestError says is what the caller gets to read."""
    cells = [row] if isinstance(row, str) or not hasattr(row, "__iter__") else list(row)
    if len(cells) != width:
        raise RequestError(400, f"{width} numbers are needed, not {len(cells)}", where=where)
    return [number(cell, f"{where}, column {column}") for column, cell in enumerate(cells, 1)]


def number(cell, where):
    try:
        if isfinite(float(cell)):
            return float(cell)
    except (TypeError, ValueError):
        pass
    raise RequestError(400, f"{cell!r} is no number", where=where)
