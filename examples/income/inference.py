"""Serves the income model: CSV with or without a header and JSON come in, labels and probabilities go out.

    text/csv            nine columns in the order of table.COLUMNS; or with a header, then in any order
    application/json    one object, or a list of them, with a value for each column

Answers text/csv (one label per line) or application/json (label and probability of each row).
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from table import COLUMNS, LABEL, to_array

from seaproof.errors import RequestError


def model_fn(model_dir: str) -> Any:
    """The pipeline that train.py wrote."""
    return joblib.load(Path(model_dir) / "model.joblib")


def input_fn(body: bytes | str, content_type: str) -> np.ndarray:
    """The request's rows as the array that the pipeline takes."""
    text = body if isinstance(body, str) else _decoded(body)
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "text/csv":
        rows = _csv_rows(text)
    elif media_type == "application/json":
        rows = _json_rows(text)
    else:
        raise RequestError(415, f"{content_type} is not read here", next_step="Send text/csv or application/json.")
    if not rows:
        raise RequestError(400, "the body has no row", next_step="Send at least one row.")
    return to_array(rows)


def predict_fn(table: np.ndarray, model: Any) -> list[tuple[str, float]]:
    """Each row's label and its probability."""
    scores = model.predict_proba(table)
    best = scores.argmax(axis=1)
    return [(str(model.classes_[k]), float(scores[row, k])) for row, k in enumerate(best)]


def output_fn(predictions: list[tuple[str, float]], accept: str) -> tuple[str, str]:
    """The reply and its type: JSON where it is asked for, else CSV."""
    if "json" in accept:
        reply = [{"label": label, "probability": round(score, 6)} for label, score in predictions]
        return json.dumps({"predictions": reply}), "application/json"
    return "".join(f"{label}\n" for label, _ in predictions), "text/csv"


def _decoded(body: bytes) -> str:
    try:
        return bytes(body).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(400, f"the body is not UTF-8: {error}") from None


def _csv_rows(text: str) -> list[dict[str, str]]:
    lines = [cells for cells in csv.reader(text.splitlines()) if cells]
    names: list[str] = list(COLUMNS)
    if lines and any(cell.strip() in (*COLUMNS, LABEL) for cell in lines[0]):
        names = [cell.strip() for cell in lines.pop(0)]
    for number, cells in enumerate(lines, start=1):
        if len(cells) != len(names):
            raise RequestError(
                400,
                f"row {number} has {len(cells)} columns, not {len(names)}",
                next_step=f"The columns are: {', '.join(names)}.",
            )
    return [dict(zip(names, cells, strict=True)) for cells in lines]


def _json_rows(text: str) -> list[dict[str, Any]]:
    try:
        given = json.loads(text)
    except ValueError as error:
        raise RequestError(400, f"the body is not JSON: {error}") from None
    rows = given if isinstance(given, list) else [given]
    if not all(isinstance(row, dict) for row in rows):
        raise RequestError(
            400, "a row is no JSON object", next_step=f"Send an object, or a list of them, with: {', '.join(COLUMNS)}."
        )
    return rows
