"""The models that the rivals serve: trained once, below .cache/bench/models/NAME/model."""

from __future__ import annotations

import subprocess
from pathlib import Path

from environments import CACHE, environment

HERE = Path(__file__).resolve().parent
MODELS = ("echo", "logreg", "hgb", "catboost", "lightgbm", "onnx")


def make_models() -> None:
    """Train what is not there yet; `echo` has an empty folder and no model."""
    folder = CACHE / "models"
    (folder / "echo" / "model").mkdir(parents=True, exist_ok=True)
    if all(any((folder / name / "model").glob("model.*")) for name in MODELS if name != "echo"):
        return
    env = environment("models", HERE / "requirements" / "models.txt")
    print("models: training", flush=True)
    subprocess.run([str(env / "bin" / "python"), str(HERE / "train_models.py"), str(folder)], check=True)
