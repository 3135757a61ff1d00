"""Ours: `seaproof-container serve` with an author's inference.py."""

from __future__ import annotations

from pathlib import Path

from rival import Run

WHAT = "seaproof-container serve"
WITH_SEAPROOF = True
MODELS = ("echo", "logreg", "hgb", "catboost", "lightgbm", "onnx")
PAYLOADS = ("csv-row", "json-row", "csv-1000", "csv-5mb", "npy-1000")


def command(run: Run) -> list[str]:
    """The image's entry point."""
    return [run.tool("seaproof-container"), "serve"]


def environ(run: Run) -> dict[str, str]:
    """As the platform gives it, with a port and an /opt/ml of its own."""
    script = Path(__file__).parent / ("echo" if run.model == "echo" else "model")
    return {
        "SAGEMAKER_BASE_DIR": str(run.base),
        "SAGEMAKER_BIND_TO_PORT": str(run.port),
        "SAGEMAKER_MODEL_SERVER_WORKERS": str(run.workers),
        "SAGEMAKER_SUBMIT_DIRECTORY": str(script),
    }
