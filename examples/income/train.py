"""Trains a classifier of the income data: gradient boosting, or a linear model as its plainer variant.

Hyperparameters: model (boosting, linear), max_iter, learning_rate (boosting only).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import joblib
import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from table import CATEGORIES, COLUMNS, LABEL, NUMBERS, to_array

from seaproof.training import Job


def train(job: Job) -> None:
    """Fit on four fifths of the rows, measure on the last fifth, then fit on all and write model.joblib."""
    model = build(
        job.hyperparameter("model", str, default="boosting"),
        job.hyperparameter("max_iter", int, default=200),
        job.hyperparameter("learning_rate", float, default=0.05),
    )
    table, labels = read_rows(job.files("train", "*.csv"))
    print(f"train_rows={len(labels)}")

    cut = len(labels) * 4 // 5
    model.fit(table[:cut], labels[:cut])
    scores = model.predict_proba(table[cut:])[:, 1]
    print(f"validation_accuracy={accuracy_score(labels[cut:], model.predict(table[cut:])):.4f}")
    print(f"validation_auc={roc_auc_score(labels[cut:] == model.classes_[1], scores):.4f}")

    model.fit(table, labels)
    print(f"train_accuracy={accuracy_score(labels, model.predict(table)):.4f}")
    joblib.dump(model, job.model_dir / "model.joblib")


def build(kind: str, max_iter: int, learning_rate: float) -> Pipeline:
    """The pipeline from the array of `table.to_array` to a label; a category never seen counts as missing."""
    numbers = [COLUMNS.index(name) for name in NUMBERS]
    categories = [COLUMNS.index(name) for name in CATEGORIES]
    if kind == "boosting":
        columns = make_column_transformer(
            (StandardScaler(), numbers),
            (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), categories),
        )
        classifier = HistGradientBoostingClassifier(
            max_iter=max_iter,
            learning_rate=learning_rate,
            categorical_features=range(len(numbers), len(COLUMNS)),
            random_state=0,
        )
    elif kind == "linear":
        columns = make_column_transformer(
            (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            (OneHotEncoder(handle_unknown="ignore"), categories),
        )
        classifier = LogisticRegression(max_iter=max_iter)
    else:
        raise ValueError(f"hyperparameter model is {kind!r}; it can be boosting or linear")
    return make_pipeline(columns, classifier)


def read_rows(files: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Every CSV file (with a header): the array of `to_array` and the labels."""
    rows = [row for file in files for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines())]
    return to_array(rows), np.array([row[LABEL] for row in rows])
