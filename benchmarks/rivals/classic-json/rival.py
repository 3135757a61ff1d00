"""The baseline with JSON in and out: examples/classic with the predictor of this folder."""

from __future__ import annotations

from pathlib import Path

import classic_program
from rival import Run

WHAT = "classic with JSON: nginx + gunicorn sync + Flask"
MODELS = ("echo", "logreg", "hgb", "catboost", "lightgbm", "onnx")
PAYLOADS = ("json-row",)


def command(run: Run) -> list[str]:
    """The `serve` of examples/classic."""
    return classic_program.prepare(run, Path(__file__).with_name("predictor.py"))


environ = classic_program.environ
