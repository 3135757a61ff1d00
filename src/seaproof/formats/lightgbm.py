"""LightGBM: a booster as text, as `save_model` writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightgbm

from seaproof.errors import ContractError
from seaproof.formats.codes import Codes, check_categories
from seaproof.formats.identity import REGRESSION, classification, completed, numbered
from seaproof.formats.model import Contributions, Options, Rows, labels
from seaproof.formats.schema import Field, Schema, read_schema

_CATEGORIES = "pandas_categorical:"


def load(path: Path, options: Options) -> LightGBM:
    """Load a booster."""
    text = path.read_text(encoding="utf-8")
    booster = lightgbm.Booster(model_str=text)
    head = _head(text)
    given = read_schema(path.parent)
    coded = _coded(text, head, booster, path)
    own = schema_of(booster, head, coded, given)
    schema = completed(own, path)
    # Those of schema.json for a model that was trained on numbers that somebody else made of them.
    listed = {place: field.categories for place, field in enumerate(schema.input) if field.type == "str"}
    categories = {**listed, **{place: tuple(map(str, known)) for place, known in coded.items()}}
    check_categories(schema, categories, path)
    return LightGBM(booster, schema, categories)


def categories_of(booster: Any) -> dict[int, list[Any]]:
    """The categories of each column that pandas had as one of categories, by the column's number."""
    text = booster.model_to_string(num_iteration=1)
    return _coded(text, _head(text), booster, Path("the model"))


def _head(text: str) -> dict[str, str]:
    """What stands before the first tree, by key."""
    lines = text.partition("\nTree=")[0].splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _coded(text: str, head: dict[str, str], booster: Any, path: Path) -> dict[int, list[Any]]:
    """The categories of each column that pandas had as one of categories, by the column's number.

    ContractError where the file does not say which columns these are.
    """
    line = next((line for line in reversed(text.splitlines()) if line.startswith(_CATEGORIES)), "")
    known: list[list[Any]] = json.loads(line.removeprefix(_CATEGORIES) or "null") or []
    # A range in brackets is one of numbers; codes with colons between them are categories.
    infos = head.get("feature_infos", "").split()
    places = [place for place, info in enumerate(infos) if info != "none" and not info.startswith("[")]
    if known and len(known) != len(places):
        # A column of one category only is written as `none`, as one that holds a constant is.
        raise ContractError(
            f"it keeps the categories of {len(known)} columns, and names {len(places)}",
            where=str(path),
            next_step="Leave columns of a single value out when the model is trained.",
        )
    return dict(zip(places, known, strict=True)) if known else {}


def schema_of(booster: Any, head: dict[str, str], coded: dict[int, list[Any]], given: Schema | None) -> Schema:
    """Columns by name, categories where pandas had them; labels are those of schema.json."""
    fields = tuple(
        Field(name, "str", tuple(map(str, coded[place]))) if place in coded else Field(name, "float")
        for place, name in enumerate(booster.feature_name())
    )
    objective = head.get("objective", "").partition(" ")[0]
    count = int(head.get("num_class", "1"))
    named = given.classes if given else ()
    if named and (objective == "binary" or len(named) == count > 1):
        return Schema("", fields, classification(named), classes=named)
    if count > 1:
        return Schema("", fields, numbered("probability", count))
    return Schema("", fields, (Field("probability", "float"),) if objective == "binary" else REGRESSION)


class LightGBM:
    """One loaded booster."""

    def __init__(self, booster: Any, schema: Schema, categories: Mapping[int, Sequence[str]]) -> None:
        self.schema = schema
        self.explain = self._explain
        self._booster = booster
        self._codes = Codes(categories)

    def predict(self, rows: Rows) -> Any:
        """What Booster.predict gives: chances of a classifier, the value of a regression."""
        return self._booster.predict(self._codes.matrix(rows))

    def score(self, rows: Rows) -> list[Any]:
        """The chances, with the label before them where schema.json names labels; or the value."""
        said = self.predict(rows)
        classes = self.schema.classes
        if said.ndim == 1:
            return [labels(classes, said > 0.5), 1.0 - said, said] if classes else [said]
        columns = list(said.T)
        return [labels(classes, said.argmax(1)), *columns] if classes else columns

    def _explain(self, rows: Rows) -> Contributions:
        values = self._booster.predict(self._codes.matrix(rows), pred_contrib=True)
        width = len(self.schema.input) + 1
        groups: tuple[str, ...] = ()
        if values.shape[1] != width:
            values = values.reshape(len(values), -1, width)
            groups = self.schema.classes or tuple(str(number) for number in range(values.shape[1]))
        return Contributions((*(field.name for field in self.schema.input), "bias"), groups, values)
