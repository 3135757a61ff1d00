"""What runs inside the rivals: a model read from its folder, as one function from an array to an array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Predict = Callable[[Any], Any]
"""A float array of shape (rows, 20) to an array of one value for each row."""


def load(folder: str | Path) -> Predict:
    """The model in `folder`, whichever of the five formats it has; libraries are imported as they are needed."""
    (path,) = (entry for entry in Path(folder).iterdir() if entry.stem == "model")
    if path.suffix == ".joblib":
        import joblib

        return joblib.load(path).predict  # type: ignore[no-any-return]
    if path.suffix == ".cbm":
        from catboost import CatBoostClassifier

        model = CatBoostClassifier()
        model.load_model(str(path))
        return lambda table: model.predict(table, thread_count=1)
    if path.suffix == ".txt":
        from lightgbm import Booster

        booster = Booster(model_file=str(path))
        return lambda table: booster.predict(table, num_threads=1)
    return _onnx(path)


def _onnx(path: Path) -> Predict:
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda table: session.run(None, {name: table.astype(numpy.float32)})[0]
