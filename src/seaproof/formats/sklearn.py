"""scikit-learn: an estimator in a joblib, pickle or skops file.

skops loads types that it knows, and names those that it does not; the other two are pickles, which `choice` warns of.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seaproof.errors import ContractError
from seaproof.formats.identity import REGRESSION, classification, completed, unnamed
from seaproof.formats.model import Options, Refused, Rows, is_numeric, need
from seaproof.formats.schema import Field, Schema


def load_joblib(path: Path, options: Options) -> Estimator:
    """Load a file of joblib.dump, which is a pickle."""
    import joblib

    return _estimator(joblib.load(path), path)


def load_pickle(path: Path, options: Options) -> Estimator:
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


def load_skops(path: Path, options: Options) -> Estimator:
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


def _estimator(model: Any, path: Path) -> Estimator:
    if not callable(getattr(model, "predict", None)):
        raise ContractError(
            f"{path.name} holds a {type(model).__name__}, which has no predict",
            where=str(path),
            next_step="Save the fitted estimator itself, or write an inference.py that knows what this is.",
        )
    schema = completed(schema_of(model), path)
    if getattr(model, "feature_names_in_", None) is not None or not is_numeric(schema):
        need("pandas", "pandas", path, "of a model that was trained on a frame")
    return Estimator(model, schema)


def schema_of(model: Any) -> Schema:
    """Columns by name where it was trained on a frame, categories where an encoder learned them."""
    learned = {name: values for one in _transformers(model) for name, values in _categories(one)}
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        given = unnamed(_width(model))
    else:
        given = tuple(_field(str(name), learned.get(str(name))) for name in names)
    labels = getattr(model, "classes_", None)
    if labels is not None and getattr(labels, "ndim", 1) == 1:
        classes = tuple(str(label) for label in labels)
        kind = "int" if labels.dtype.kind in "iu" else "str"
        outputs = classification(classes, kind)
        return Schema("", given, outputs if hasattr(model, "predict_proba") else outputs[:1], classes=classes)
    return Schema("", given, REGRESSION)


def _width(model: Any) -> int:
    try:
        return int(getattr(model, "n_features_in_", 0))
    except AttributeError:  # a pipeline whose first step does not say
        return 0


def _field(name: str, categories: list[Any] | None) -> Field:
    if categories is None:
        return Field(name, "float")
    known = [value for value in categories if isinstance(value, str)]
    return Field(name, "str", tuple(known)) if known else Field(name, "float")


def _transformers(model: Any) -> Iterator[Any]:
    """Each ColumnTransformer in a pipeline, which is where columns are told apart by name."""
    for _, step in getattr(model, "steps", ()):
        yield from _transformers(step)
    if hasattr(model, "transformers_"):
        yield model


def _categories(transformer: Any) -> Iterator[tuple[str, list[Any]]]:
    for _, one, columns in transformer.transformers_:
        steps = getattr(one, "steps", [("", one)])
        for _, step in steps:
            learned = getattr(step, "categories_", None)
            if learned is not None and not isinstance(columns, (str, slice)) and len(learned) == len(columns):
                yield from ((str(name), list(values)) for name, values in zip(columns, learned, strict=True))


class Estimator:
    """One fitted estimator or pipeline."""

    explain = None

    def __init__(self, model: Any, schema: Schema) -> None:
        self.schema = schema
        self._model = model
        self._named = getattr(model, "feature_names_in_", None)
        self._numeric = is_numeric(schema)
        self._has_probabilities = hasattr(model, "predict_proba")

    def predict(self, rows: Rows) -> Any:
        """What the estimator's own predict returns."""
        return self._model.predict(self._data(rows))

    def score(self, rows: Rows) -> list[Any]:
        """Label and probabilities, or the value."""
        data = self._data(rows)
        first = self._model.predict(data)
        if self._has_probabilities and self.schema.classes:
            return [first, *self._model.predict_proba(data).T]
        return [first] if getattr(first, "ndim", 1) == 1 else list(first.T)

    def _data(self, rows: Rows) -> Any:
        if self._named is None and self._numeric:
            return rows
        import pandas

        if self._numeric:
            return pandas.DataFrame(rows, columns=self._named)
        names = self._named if self._named is not None else range(len(rows))
        return pandas.DataFrame({name: _series(column) for name, column in zip(names, rows, strict=True)})


def _series(column: Any) -> Any:
    if not isinstance(column, list):
        return column
    import pandas

    # Missing is NaN, as it is of a file that pandas read, whatever its version makes of text.
    return pandas.Series([float("nan") if cell is None else cell for cell in column], dtype=object)
