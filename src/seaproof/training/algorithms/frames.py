"""Tables as XGBoost and LightGBM take them: columns of text as categories of pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seaproof.formats.schema import Field
from seaproof.training.libraries import need


def categorical(fields: Sequence[Field], frame: Any) -> Any:
    """The table with its text columns as the categories of the fields; what is none of them is missing."""
    pandas = need("pandas")
    columns = {
        field.name: pandas.Categorical(frame[field.name], list(field.categories))
        for field in fields
        if field.type == "str"
    }
    return frame.assign(**columns)


def importance_by_name(fields: Sequence[Field], found: dict[str, float]) -> dict[str, float]:
    """A figure for every column, 0 for those that the model does not use."""
    return {field.name: float(found.get(field.name, 0.0)) for field in fields}
