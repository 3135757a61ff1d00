"""The limit for a large body: decoding and predicting in one process, over and over, with no HTTP around it."""

from __future__ import annotations

from pathlib import Path

from rival import Run

WHAT = "in process, no HTTP, the fastest decoder: the limit"
SHARES = "seaproof"
IN_PROCESS = True
MODELS = ("logreg", "hgb", "catboost", "lightgbm", "onnx")
PAYLOADS = ("csv-5mb",)


def command(run: Run) -> list[str]:
    """A program that says on standard output how it went, for each line that it is sent."""
    return [run.tool("python"), str(Path(__file__).with_name("program.py")), str(run.base / "model")]
