"""The data and models of batch.py: the demo's real rows as numbers, repeated; runs in the environment of `seaproof`.

python batch_data.py FOLDER MEGABYTES    rows-MEGABYTES.csv, header-MEGABYTES.csv, income-logreg/model and
                                         income-catboost/model below FOLDER
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import joblib
import numpy
from catboost import CatBoostClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

INCOME = Path(__file__).resolve().parents[1] / "examples" / "income" / "data" / "train.csv"


def main(folder: Path, megabytes: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names, labels, table = encoded()
    block = "".join(",".join(f"{value:g}" for value in row) + "\n" for row in table).encode()
    for name, head in (("rows", b""), ("header", ",".join(names).encode() + b"\n")):
        path = folder / f"{name}-{megabytes}.csv"
        if not path.exists():
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                file.write(head)
                for _ in range(megabytes * 10**6 // len(block) + 1):
                    file.write(block)
            part.replace(path)
    models = {"logreg": make_pipeline(StandardScaler(), LogisticRegression())}
    for name, model in models.items():
        target = folder / f"income-{name}" / "model" / "model.joblib"
        target.parent.mkdir(parents=True, exist_ok=True)
        joblib.dump(model.fit(table, labels), target)
    boosted = CatBoostClassifier(iterations=100, depth=6, verbose=False, thread_count=1, allow_writing_files=False)
    target = folder / "income-catboost" / "model" / "model.cbm"
    target.parent.mkdir(parents=True, exist_ok=True)
    boosted.fit(table, labels).save_model(str(target))


def encoded() -> tuple[list[str], numpy.ndarray, numpy.ndarray]:
    """Names of the features, labels (0 or 1), and the features as numbers: a text is its place among all texts."""
    with INCOME.open(newline="") as file:
        head, *rows = csv.reader(file)
    columns = []
    for column in list(zip(*rows, strict=True))[1:]:
        try:
            columns.append([float(cell) for cell in column])
        except ValueError:
            places = {text: place for place, text in enumerate(sorted(set(column)))}
            columns.append([float(places[cell]) for cell in column])
    return head[1:], numpy.array([row[0] == ">50K" for row in rows], int), numpy.array(columns).T


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
