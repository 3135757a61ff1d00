"""Tables as XGBoost and LightGBM take them: columns of text as categories of pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seaproof.formats.schema import Field
from seaproof.training.libraries import need

_UNSAFE = frozenset('",:[]{}<>')
"""Characters that XGBoost or LightGBM refuse in a column's name."""


def names(fields: Sequence[Field]) -> list[str]:
    """The columns' names in the model file: their own, or `c0`, `c1` where the library would refuse one of them."""
    own = [field.name for field in fields]
    return [f"c{place}" for place in range(len(own))] if any(_UNSAFE & set(name) for name in own) else own


def categorical(fields: Sequence[Field], frame: Any) -> Any:
    """The table with its text columns as the categories of the fields (what is none of them is missing), and its
    columns called as `names` says."""
    pandas = need("pandas")
    columns = {
        field.name: pandas.Categorical(frame[field.name], list(field.categories))
        for field in fields
        if field.type == "str"
    }
    return frame.assign(**columns).set_axis(names(fields), axis=1)


def importance_by_name(fields: Sequence[Field], found: dict[str, float]) -> dict[str, float]:
    """A figure for every column, from those of the model file; 0 for what the model does not use."""
    return {field.name: float(found.get(name, 0.0)) for field, name in zip(fields, names(fields), strict=True)}
