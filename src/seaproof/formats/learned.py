"""What a fitted scikit-learn model has learned of its columns: the categories of its encoders, wherever they stand.

Encoders stand in pipelines, told apart by column, and these in searches, ensembles and calibrations; the column that
one of them encodes is followed from the outside in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Places = Sequence[int]
"""Columns of the model's input, by number, in the order in which a part of it is given them."""

_INSIDE = ("best_estimator_", "regressor_", "estimator_", "calibrated_classifiers_", "estimators_", "estimator")
"""Where a fitted model keeps what it wraps. The last is often not fitted, and then has learned nothing."""
_ENCODER = "_preprocessor"
"""Of HistGradientBoosting, which encodes columns of pandas' own categories for itself."""


@dataclass(frozen=True)
class Learned:
    """One column."""

    values: tuple[Any, ...]
    """The categories, as the encoder has them; none where the column holds free text."""
    typed: bool = False
    """The library takes nothing but a column of pandas' own categories, of these values."""


def learned(model: Any, width: int) -> dict[int, Learned]:
    """What is known of columns, by number; of most, those of plain numbers, nothing."""
    found = dict(_boosters(model))
    for place, one in _walk(model, range(width)):
        found.setdefault(place, one)
    return found


def reads_documents(model: Any) -> bool:
    """Whether it takes texts themselves, and no table: a vectorizer comes first in it."""
    if hasattr(model, "steps"):
        return reads_documents(model.steps[0][1])
    parts = [part for _, part, *_ in getattr(model, "transformer_list", ())]
    return _is_vectorizer(model) or any(map(reads_documents, parts or _inside(model)))


def _walk(one: Any, places: Places) -> Iterator[tuple[int, Learned]]:
    if hasattr(one, "transformers_"):
        names = [str(name) for name in getattr(one, "feature_names_in_", ())]
        for _, inner, columns in one.transformers_:
            yield from _walk(inner, _chosen(columns, names, places))
    elif hasattr(one, "steps"):
        yield from _through(one.steps, places)
    elif hasattr(one, "transformer_list"):
        for _, inner, *_ in one.transformer_list:
            yield from _walk(inner, places)
    elif len(getattr(one, "categories_", ())) == len(places) > 0:
        yield from zip(places, (Learned(tuple(values)) for values in one.categories_), strict=True)
    elif _is_vectorizer(one):
        yield from ((place, Learned(())) for place in places[:1])
    else:
        features = getattr(one, "estimators_features_", None)
        for number, inner in enumerate(_inside(one)):
            subset = None if features is None or number >= len(features) else features[number]
            yield from _walk(inner, places if subset is None else _chosen(subset, (), places))


def _through(steps: Any, places: Places) -> Iterator[tuple[int, Learned]]:
    """One step after the other, as long as columns stay where they are."""
    for _, step in steps:
        if getattr(step, "n_features_in_", len(places)) != len(places):
            return
        yield from _walk(step, places)
        if hasattr(step, "transformers_") or hasattr(step, "transformer_list"):
            return


def _chosen(columns: Any, names: Sequence[str], places: Places) -> list[int]:
    """The places of columns chosen by name, number, mask or slice; none where that is not clear."""
    given = [columns] if isinstance(columns, (str, int)) else columns
    try:
        if isinstance(given, slice) and isinstance(given.start or given.stop, str):
            return []
        if not isinstance(given, slice) and any(isinstance(one, str) for one in given):
            return [places[names.index(str(one))] for one in given]
        chosen: list[int] = np.asarray(places)[given].tolist()
    except (ValueError, IndexError, TypeError):
        return []
    return chosen


def _inside(one: Any) -> list[Any]:
    """What a model wraps, each once."""
    found: list[Any] = []
    for name in (*_INSIDE, _ENCODER):
        value = getattr(one, name, None)
        found += value if isinstance(value, (list, tuple)) else [value] if hasattr(value, "get_params") else []
        found += value.ravel().tolist() if isinstance(value, np.ndarray) else []
    # The calibrated part of a classifier is no estimator, and has one; `drop` is none.
    return [inner for inner in found if not isinstance(inner, str)]


def _is_vectorizer(one: Any) -> bool:
    return callable(getattr(one, "build_analyzer", None))


def _boosters(model: Any) -> Iterator[tuple[int, Learned]]:
    """Columns of categories of LightGBM's and XGBoost's estimators, which keep what they were in the booster."""
    if hasattr(model, "booster_"):
        from seaproof.formats.lightgbm import categories_of

        yield from ((place, Learned(tuple(known), True)) for place, known in categories_of(model.booster_).items())
    elif callable(getattr(model, "get_booster", None)):
        from seaproof.formats.xgboost import categories_of as of_xgboost

        booster = model.get_booster()
        known = of_xgboost(booster)
        names = booster.feature_names or []
        yield from ((names.index(name), Learned(values, True)) for name, values in known.items())
