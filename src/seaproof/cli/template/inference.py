"""Serving: the functions that SageMaker's inference toolkit names. Leave out one and its default is taken."""

import csv
import json
from pathlib import Path

from train import nearest


def model_fn(model_dir):
    """Load the model, once, before the first request."""
    return json.loads((Path(model_dir) / "centroids.json").read_text())


def input_fn(data, content_type):
    """A request's body -> rows of numbers. CSV rows, or a JSON list of lists."""
    if content_type.startswith("application/json"):
        return [[float(cell) for cell in row] for row in json.loads(data)]
    return [[float(cell) for cell in row] for row in csv.reader(data.splitlines()) if row]


def predict_fn(rows, model):
    return [nearest(model, row) for row in rows]


def output_fn(labels, accept):
    """The answer's body and its type."""
    if accept == "application/json":
        return json.dumps(labels), "application/json"
    return "\n".join(labels) + "\n", "text/csv"
