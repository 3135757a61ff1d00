"""uvicorn (uvloop, httptools) and a hand-written Starlette application: what a careful author writes today."""

from __future__ import annotations

from pathlib import Path

from rival import Run

WHAT = "uvicorn + Starlette, hand-written"
MODELS = ("echo", "logreg", "hgb", "catboost", "lightgbm", "onnx")
PAYLOADS = ("csv-row", "json-row", "csv-1000", "csv-5mb", "npy-1000")


def command(run: Run) -> list[str]:
    """uvicorn on the port, without its access log."""
    return [
        run.tool("uvicorn"),
        "app:app",
        *("--app-dir", str(Path(__file__).parent), "--host", "127.0.0.1", "--port", str(run.port)),
        *("--workers", str(run.workers), "--loop", "uvloop", "--http", "httptools", "--no-access-log"),
    ]


def environ(run: Run) -> dict[str, str]:
    """Which model to load; none for echo."""
    return {"MODEL": "" if run.model == "echo" else str(run.base / "model")}
