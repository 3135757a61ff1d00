"""gunicorn's sync workers and Flask, without nginx and pandas: what the classic way gives with a fast decoder."""

from __future__ import annotations

from pathlib import Path

from rival import Run

WHAT = "gunicorn sync + Flask, fast decoder, no nginx"
MODELS = ("echo", "logreg", "hgb", "catboost", "lightgbm", "onnx")
PAYLOADS = ("csv-row", "json-row", "csv-1000", "csv-5mb", "npy-1000")


def command(run: Run) -> list[str]:
    """gunicorn on the port."""
    here = str(Path(__file__).parent)
    address = f"127.0.0.1:{run.port}"
    return [run.tool("gunicorn"), "-k", "sync", "-w", str(run.workers), "-b", address, "--chdir", here, "app:app"]


def environ(run: Run) -> dict[str, str]:
    """Which model to load; none for echo."""
    return {"MODEL": "" if run.model == "echo" else str(run.base / "model")}
