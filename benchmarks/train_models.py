"""Trains the models that are served, from a fixed seed; runs in an environment of its own (see models.py).

python train_models.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import joblib
import lightgbm
import numpy as np
from catboost import CatBoostClassifier
from skl2onnx import to_onnx
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

COLUMNS = 20


def main(folder: Path) -> None:
    """Write FOLDER/<name>/model/model.<suffix> for each model."""
    draw = np.random.default_rng(20)
    table = draw.normal(size=(5000, COLUMNS))
    labels = (table[:, :5].sum(axis=1) + draw.normal(size=len(table)) > 0).astype(int)

    logreg = LogisticRegression().fit(table, labels)
    joblib.dump(logreg, _path(folder, "logreg", "joblib"))
    hgb = HistGradientBoostingClassifier(max_iter=100, random_state=0).fit(table, labels)
    joblib.dump(hgb, _path(folder, "hgb", "joblib"))
    cat = CatBoostClassifier(iterations=100, random_seed=0, verbose=False, allow_writing_files=False)
    cat.fit(table, labels).save_model(str(_path(folder, "catboost", "cbm")))
    data = lightgbm.Dataset(table, labels)
    booster = lightgbm.train({"objective": "binary", "seed": 0, "verbose": -1}, data, num_boost_round=100)
    booster.save_model(str(_path(folder, "lightgbm", "txt")))
    onnx = to_onnx(logreg, table[:1].astype(np.float32), options={"zipmap": False})
    _path(folder, "onnx", "onnx").write_bytes(onnx.SerializeToString())


def _path(folder: Path, name: str, suffix: str) -> Path:
    path = folder / name / "model" / f"model.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    main(Path(sys.argv[1]))
