"""XGBoost: a booster in JSON or UBJSON, as `save_model` writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from seaproof.errors import ContractError
from seaproof.formats.codes import Codes, check_categories
from seaproof.formats.identity import REGRESSION, classification, completed, numbered, unnamed
from seaproof.formats.model import Contributions, Options, Rows, labels, need
from seaproof.formats.schema import Field, Schema, Type, read_schema

_TYPES: dict[str, Type] = {"i": "bool", "int": "int"}
_CHANCES = ("binary:logistic", "multi:softprob", "multi:softmax")


def load(path: Path, options: Options) -> XGBoost:
    """Load a booster."""
    booster = xgboost.Booster()
    try:
        # From memory, so that the content and not the name says whether it is JSON or UBJSON.
        booster.load_model(bytearray(path.read_bytes()))
    except xgboost.core.XGBoostError as error:
        raise ContractError(
            f"{path.name} cannot be read: {str(error).strip().splitlines()[-1]}",
            where=str(path),
            next_step="Save the model as JSON or UBJSON: booster.save_model('model.ubj').",
        ) from None
    given = read_schema(path.parent)
    learner = json.loads(booster.save_config())["learner"]
    objective = learner["learner_train_param"]["objective"]
    named = any(field.categories for field in given.input) if given else False
    if "c" in (booster.feature_types or ()) and not named and hasattr(booster, "get_categories"):
        need("pyarrow", "pyarrow", path, "of a model that keeps its categories")
    width = learner["learner_model_param"]
    own = schema_of(booster, objective, max(int(width["num_class"]), int(width.get("num_target", 1))), given)
    schema = completed(own, path)
    categories = {**_listed(schema), **_listed(own)}
    check_categories(schema, categories, path)
    return XGBoost(booster, schema, objective, categories)


def _listed(schema: Schema) -> dict[int, tuple[str, ...]]:
    """The categories by the column's place; the booster's own come before those of schema.json."""
    return {place: field.categories for place, field in enumerate(schema.input) if field.type == "str"}


def schema_of(booster: Any, objective: str, classes: int, given: Schema | None) -> Schema:
    """Columns by name and type, where it was trained with them; labels are those of schema.json. `classes` is how many
    classes or targets there are."""
    names = booster.feature_names
    types = booster.feature_types or ["float"] * booster.num_features()
    known = categories_of(booster) if "c" in types else {}
    if names is None:
        fields = unnamed(booster.num_features())
    else:
        fields = tuple(_field(name, kind, known.get(name)) for name, kind in zip(names, types, strict=True))
    named = given.classes if given else ()
    if named and objective in _CHANCES:
        outputs = classification(named)
        return Schema("", fields, outputs[:1] if objective == "multi:softmax" else outputs, classes=named)
    if objective == "multi:softmax":
        return Schema("", fields, REGRESSION)
    name = "probability" if objective in _CHANCES else "prediction"
    return Schema("", fields, numbered(name, classes) if classes > 1 else (Field(name, "float"),))


def _field(name: str, kind: str, categories: tuple[str, ...] | None) -> Field:
    if kind != "c":
        return Field(name, _TYPES.get(kind, "float"))
    # A booster that does not keep its categories takes their numbers, unless schema.json names them.
    return Field(name, "str", categories) if categories else Field(name, "float")


def categories_of(booster: Any) -> dict[str, tuple[str, ...]]:
    """The categories that a booster keeps, by column; none in files of before XGBoost 3.1."""
    if not hasattr(booster, "get_categories"):
        return {}
    try:
        kept = booster.get_categories(export_to_arrow=True).to_arrow()
    except (ImportError, ValueError, TypeError):
        return {}
    return {name: tuple(map(str, values.to_pylist())) for name, values in kept if values is not None}


def _rounds(booster: Any) -> tuple[int, int]:
    """Of which rounds predictions are made: (0, 0), which is all, unless an estimator knows a best one."""
    best = booster.attr("best_iteration")
    return (0, int(best) + 1) if best is not None and booster.attr("scikit_learn") is not None else (0, 0)


class XGBoost:
    """One loaded booster."""

    def __init__(self, booster: Any, schema: Schema, objective: str, categories: Mapping[int, Sequence[str]]) -> None:
        self.schema = schema
        self.explain = self._explain
        self._booster = booster
        self._objective = objective
        self._names = booster.feature_names
        self._types = booster.feature_types
        self._codes = Codes(categories)
        self._rounds = _rounds(booster)
        self._in_place = '"name":"gblinear"' not in booster.save_config()

    def predict(self, rows: Rows) -> Any:
        """What Booster.predict gives: chances of a classifier, the value of a regression.

        Of a file that one of XGBoost's scikit-learn estimators saved, by the rounds that the estimator itself uses: up
        to the best, where it stopped early.
        """
        if not self._in_place:
            return self._booster.predict(self._data(rows), iteration_range=self._rounds)
        return self._booster.inplace_predict(
            self._codes.matrix(rows), iteration_range=self._rounds, validate_features=False
        )

    def score(self, rows: Rows) -> list[Any]:
        """The chances, with the label before them where schema.json names labels; or the value."""
        said = self.predict(rows)
        classes = self.schema.classes
        if said.ndim == 1:
            if not classes or self._objective not in _CHANCES:
                return [said]
            if self._objective == "multi:softmax":
                return [labels(classes, said)]
            return [labels(classes, said > 0.5), np.float32(1) - said, said]
        columns = list(said.T)
        return [labels(classes, said.argmax(1)), *columns] if classes else columns

    def _data(self, rows: Rows) -> Any:
        return xgboost.DMatrix(
            self._codes.matrix(rows),
            feature_names=self._names,
            feature_types=self._types,
            enable_categorical=True,
        )

    def _explain(self, rows: Rows) -> Contributions:
        values = self._booster.predict(self._data(rows), pred_contribs=True, iteration_range=self._rounds)
        groups: tuple[str, ...] = ()
        if values.ndim == 3:
            groups = self.schema.classes or tuple(str(number) for number in range(values.shape[1]))
        return Contributions((*(field.name for field in self.schema.input), "bias"), groups, values)
