"""Ray Serve: one deployment, as many replicas as workers."""

from __future__ import annotations

from pathlib import Path

from rival import Run

WHAT = "Ray Serve"
MODELS = ("logreg", "hgb", "catboost", "lightgbm", "onnx")
PAYLOADS = ("csv-row", "json-row", "csv-1000")


def command(run: Run) -> list[str]:
    """A script that starts a Ray of its own."""
    return [run.tool("python"), str(Path(__file__).with_name("server.py")), str(run.port), str(run.workers)]


def environ(run: Run) -> dict[str, str]:
    """Which model to load; nothing is reported home."""
    return {"MODEL": str(run.base / "model"), "RAY_USAGE_STATS_ENABLED": "0"}
