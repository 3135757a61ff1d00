"""scikit-learn: an estimator in a joblib, pickle or skops file.

skops loads types that it knows, and names those that it does not; the other two are pickles, which `choice` warns of.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seaproof.errors import ContractError
from seaproof.formats.identity import REGRESSION, classification, completed, unnamed
from seaproof.formats.learned import Learned, learned, reads_documents
from seaproof.formats.model import Options, Refused, Rows, is_numeric, need
from seaproof.formats.outputs import outputs_of
from seaproof.formats.schema import Field, Schema

if TYPE_CHECKING:
    from seaproof.formats.catboost import CatBoost


def load_joblib(path: Path, options: Options) -> Estimator | CatBoost:
    """Load a file of joblib.dump, which is a pickle."""
    import joblib

    return _estimator(joblib.load(path), path)


def load_pickle(path: Path, options: Options) -> Estimator | CatBoost:
    """Load a pickle."""
    with path.open("rb") as file:
        try:
            return _estimator(pickle.load(file), path)
        except ModuleNotFoundError as error:
            raise ContractError(
                f"{path.name} is a pickle of something from {error.name}, which is not installed",
                where=str(path),
                next_step="Install in the image what the model was trained with, in the same version.",
            ) from None


def load_skops(path: Path, options: Options) -> Estimator | CatBoost:
    """Load a skops file; Refused names the types in it that nobody said to trust."""
    from skops.io import get_untrusted_types, load

    untrusted = sorted(set(get_untrusted_types(file=path)) - set(options.trusted_types))
    if untrusted:
        raise Refused(
            f"{path.name} brings types that skops does not know: {', '.join(untrusted)}",
            where=str(path),
            next_step="If you trust who made it: SEAPROOF_TRUSTED_TYPES=" + ",".join(untrusted),
        )
    return _estimator(load(path, trusted=list(options.trusted_types)), path)


def _estimator(model: Any, path: Path) -> Estimator | CatBoost:
    if not callable(getattr(model, "predict", None)):
        raise ContractError(
            f"{path.name} holds a {type(model).__name__}, which has no predict",
            where=str(path),
            next_step="Save the fitted estimator itself, or write an inference.py that knows what this is.",
        )
    if hasattr(model, "get_cat_feature_indices"):
        from seaproof.formats import catboost

        return catboost.CatBoost(model, completed(catboost.schema_of(model), path))
    known = learned(model, _width(model))
    schema = completed(schema_of(model, known), path)
    if getattr(model, "feature_names_in_", None) is not None or not is_numeric(schema):
        need("pandas", "pandas", path, "of a model that was trained on a frame")
    return Estimator(model, schema, known)


def schema_of(model: Any, known: Mapping[int, Learned]) -> Schema:
    """Columns by name where it was trained on a frame, categories where an encoder learned them."""
    names = getattr(model, "feature_names_in_", None)
    names = [field.name for field in unnamed(_width(model))] if names is None else [str(name) for name in names]
    given = tuple(_field(name, known.get(place)) for place, name in enumerate(names))
    if not given and reads_documents(model):
        given = (Field("text", "str"),)
    several = outputs_of(model)
    if several:
        return Schema("", given, several)
    labels = getattr(model, "classes_", None)
    if labels is not None and getattr(labels, "ndim", 0) == 1:
        classes = tuple(str(label) for label in labels)
        kind = "int" if labels.dtype.kind in "iu" else "str"
        outputs = classification(classes, kind)
        return Schema("", given, outputs if hasattr(model, "predict_proba") else outputs[:1], classes=classes)
    return Schema("", given, REGRESSION)


def _width(model: Any) -> int:
    try:
        return int(getattr(model, "n_features_in_", 0))
    except AttributeError:  # a pipeline whose first step does not say
        return len(getattr(model, "feature_names_in_", ()))


def _field(name: str, known: Learned | None) -> Field:
    if known is None:
        return Field(name, "float")
    texts = tuple(value for value in known.values if isinstance(value, str))
    if texts or not known.values or known.typed:
        return Field(name, "str", texts or tuple(map(str, known.values)))
    numbers = [value for value in known.values if isinstance(value, (int, float, np.number)) and value == value]
    return Field(name, "float", tuple(str(value) for value in numbers if not isinstance(value, bool)))


class Estimator:
    """One fitted estimator or pipeline."""

    explain = None

    def __init__(self, model: Any, schema: Schema, known: Mapping[int, Learned]) -> None:
        self.schema = schema
        self._model = model
        self._named = getattr(model, "feature_names_in_", None)
        self._numeric = is_numeric(schema)
        self._documents = not _width(model) and reads_documents(model)
        self._typed = {place: one.values for place, one in known.items() if one.typed}
        self._has_probabilities = hasattr(model, "predict_proba")

    def predict(self, rows: Rows) -> Any:
        """What the estimator's own predict returns."""
        return self._model.predict(self._data(rows))

    def score(self, rows: Rows) -> list[Any]:
        """Label and probabilities, or the value; of several outputs each."""
        data = self._data(rows)
        first = self._model.predict(data)
        if getattr(first, "ndim", 1) == 2:
            return list(first.T)
        if self._has_probabilities and self.schema.classes:
            return [first, *self._model.predict_proba(data).T]
        return [first]

    def _data(self, rows: Rows) -> Any:
        if self._documents and isinstance(rows, list):
            return ["" if text is None else text for text in rows[0]]
        if self._named is None and self._numeric:
            return rows
        import pandas

        if self._numeric:
            return pandas.DataFrame(rows, columns=self._named)
        names = self._named if self._named is not None else range(len(rows))
        return pandas.DataFrame(
            {
                name: _series(column, self._typed.get(place))
                for place, (name, column) in enumerate(zip(names, rows, strict=True))
            }
        )


def _series(column: Any, typed: Sequence[Any] | None) -> Any:
    """A column of numbers as it is; one of text as the model was trained on it."""
    if not isinstance(column, list):
        return column
    import pandas

    if typed is not None:
        values = {str(value): value for value in typed}
        return pandas.Categorical([values.get(cell) for cell in column], list(typed))
    # Missing is NaN, as it is of a file that pandas read, whatever its version makes of text.
    return pandas.Series([float("nan") if cell is None else cell for cell in column], dtype=object)
