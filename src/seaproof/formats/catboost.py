"""CatBoost: model.cbm, as `save_model` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import catboost
import numpy as np

from seaproof.formats.identity import REGRESSION, classification, completed, numbered
from seaproof.formats.model import Contributions, Options, Rows, threads
from seaproof.formats.schema import Field, Schema

MISSING = "nan"
"""A missing category, as CatBoost has it of a text column whose missing cells were written out."""


def load(path: Path, options: Options) -> CatBoost:
    """Load model.cbm."""
    model = catboost.CatBoost()
    model.load_model(str(path))
    return CatBoost(model, completed(schema_of(model), path))


def schema_of(model: Any) -> Schema:
    """Columns by name, categories as text; the labels of a classifier."""
    text = {
        *model.get_cat_feature_indices(),
        *model.get_text_feature_indices(),
    }
    names = [str(name) for name in model.feature_names_]
    given = tuple(Field(name, "str" if number in text else "float") for number, name in enumerate(names))
    classes = [str(label) for label in model.classes_]
    if classes and _is_multilabel(model):
        labels = tuple(Field(f"prediction_{name}", "int") for name in classes)
        return Schema("", given, (*labels, *classification(tuple(classes))[1:]), classes=tuple(classes))
    if classes:
        whole = np.asarray(model.classes_).dtype.kind in "iu"
        return Schema("", given, classification(tuple(classes), "int" if whole else "str"), classes=tuple(classes))
    scale_and_bias = model.get_scale_and_bias()[1]
    targets = len(scale_and_bias) if isinstance(scale_and_bias, (list, tuple)) else 1
    return Schema("", given, REGRESSION if targets == 1 else numbered("prediction", targets))


def _kind(model: Any) -> str:
    """What CatBoostRegressor.predict gives for this model's loss."""
    loss = _loss(model)
    if loss in ("Poisson", "Tweedie"):
        return "Exponent"
    return loss if loss == "RMSEWithUncertainty" else "RawFormulaVal"


def _loss(model: Any) -> str:
    return str(model.get_all_params().get("loss_function", "")).partition(":")[0]


def _is_multilabel(model: Any) -> bool:
    """Whether a row may be of several classes at once, or of none."""
    return _loss(model) in ("MultiLogloss", "MultiCrossEntropy")


class CatBoost:
    """One loaded model."""

    def __init__(self, model: Any, schema: Schema) -> None:
        self.schema = schema
        self.explain = self._explain
        self._model = model
        self._threads = threads()
        self._classifies = len(model.classes_) > 0
        self._kind = "Class" if self._classifies else _kind(model)
        self._text = {number for number, field in enumerate(schema.input) if field.type == "str"}
        self._names = [str(name) for name in model.feature_names_]

    def predict(self, rows: Rows) -> Any:
        """The label of a classifier, the value of a regression."""
        return _flat(self._said(self._data(rows), self._kind))

    def score(self, rows: Rows) -> list[Any]:
        """Label and probabilities, or the value."""
        data = self._data(rows)
        first = _flat(self._said(data, self._kind))
        columns = [first] if first.ndim == 1 else list(first.T)
        return [*columns, *self._said(data, "Probability").T] if self._classifies else columns

    def _said(self, data: Any, kind: str) -> Any:
        return self._model.predict(data, prediction_type=kind, thread_count=self._threads)

    def _explain(self, rows: Rows) -> Contributions:
        values = self._model.get_feature_importance(self._pool(rows), type="ShapValues", thread_count=self._threads)
        groups = self.schema.classes if values.ndim == 3 else ()
        return Contributions((*(field.name for field in self.schema.input), "bias"), groups, values)

    def _data(self, rows: Rows) -> Any:
        return rows if isinstance(rows, np.ndarray) else self._pool(rows)

    def _pool(self, rows: Rows) -> Any:
        if isinstance(rows, np.ndarray):
            return catboost.Pool(rows)
        import pandas  # CatBoost itself needs it

        columns = {
            name: _texts(column) if number in self._text else column
            for number, (name, column) in enumerate(zip(self._names, rows, strict=True))
        }
        categories = self._model.get_cat_feature_indices()
        texts = self._model.get_text_feature_indices()
        return catboost.Pool(pandas.DataFrame(columns), cat_features=categories, text_features=texts or None)


def _texts(column: Any) -> Any:
    # As object: pandas' own text type is not one that CatBoost reads.
    return np.array([MISSING if cell is None else cell for cell in column], dtype=object)


def _flat(result: Any) -> Any:
    """One value for each row: labels of several classes come as a column."""
    return result[:, 0] if getattr(result, "ndim", 1) == 2 and result.shape[1] == 1 else result
