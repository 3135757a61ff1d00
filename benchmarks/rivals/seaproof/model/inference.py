"""A model and its predictions; decoding and encoding are seaproof's own."""

from __future__ import annotations

from typing import Any

from served_model import Predict, load

batch = True
"""predict_fn answers each row by itself, so requests that wait together may share one call."""


def model_fn(model_dir: str) -> Predict:
    """The model of the benchmark."""
    return load(model_dir)


def predict_fn(table: Any, predict: Predict) -> Any:
    """One value for each row."""
    return predict(table)
