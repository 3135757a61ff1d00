"""The baseline: examples/classic as it stands, with other paths and another port."""

from __future__ import annotations

import classic_program
from rival import Run

WHAT = "classic: nginx + gunicorn sync + Flask + pandas"
MODELS = ("echo", "logreg", "hgb", "catboost", "lightgbm", "onnx")
PAYLOADS = ("csv-row", "csv-1000", "csv-5mb")


def command(run: Run) -> list[str]:
    """Its own `serve`."""
    return classic_program.prepare(run)


environ = classic_program.environ
