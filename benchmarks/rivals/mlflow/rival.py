"""MLflow's scoring server: the model saved as an MLflow model, then `mlflow models serve`."""

from __future__ import annotations

import json
from pathlib import Path

from payloads import Payload
from rival import Run

WHAT = "MLflow scorer"
MODELS = ("logreg", "hgb")
PAYLOADS = ("json-row",)


def command(run: Run) -> list[str]:
    """Save, then serve without making another environment."""
    save = [run.tool("python"), str(Path(__file__).with_name("save.py")), str(run.base / "model" / "model.joblib")]
    serve = [run.tool("mlflow"), "models", "serve", "--env-manager", "local", "-m", "saved"]
    serve += ["-h", "127.0.0.1", "-p", str(run.port), "-w", str(run.workers)]
    return ["sh", "-c", '"$0" "$1" "$2" && shift 2 && exec "$@"', *save, *serve]


def body(payload: Payload, plain: bytes) -> bytes:
    """The rows as a tensor."""
    return json.dumps({"inputs": json.loads(plain)}).encode()


def values(reply: bytes) -> list[float]:
    """What stands under `predictions`."""
    found: list[float] = json.loads(reply)["predictions"]
    return found
