"""LitServe as its documentation has it: a LitAPI, JSON in and out."""

from __future__ import annotations

from pathlib import Path

from rival import Run

WHAT = "LitServe"
MODELS = ("logreg", "hgb", "catboost", "lightgbm", "onnx")
PAYLOADS = ("json-row",)


def command(run: Run) -> list[str]:
    """A script around LitServer."""
    return [run.tool("python"), str(Path(__file__).with_name("server.py")), str(run.port), str(run.workers)]


def environ(run: Run) -> dict[str, str]:
    """Which model to load."""
    return {"MODEL": str(run.base / "model")}
