"""BentoML: a service class with one API, JSON in and out."""

from __future__ import annotations

import json
from pathlib import Path

from payloads import Payload
from rival import Run

WHAT = "BentoML"
MODELS = ("logreg", "hgb", "catboost", "lightgbm", "onnx")
PAYLOADS = ("json-row",)
PING = "/readyz"


def command(run: Run) -> list[str]:
    """`bentoml serve`."""
    here = str(Path(__file__).parent)
    serve = [run.tool("bentoml"), "serve", "service:Served", "--working-dir", here]
    return [*serve, "--host", "127.0.0.1", "--port", str(run.port)]


def environ(run: Run) -> dict[str, str]:
    """Which model to load, and how many workers; nothing is reported home."""
    return {
        "MODEL": str(run.base / "model"),
        "WORKERS": str(run.workers),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(run.folder),
    }


def body(payload: Payload, plain: bytes) -> bytes:
    """The rows as the argument of the API."""
    return json.dumps({"rows": json.loads(plain)}).encode()
