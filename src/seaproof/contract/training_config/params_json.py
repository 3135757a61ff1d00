"""params.json of Release ML: `model_params` for CatBoostClassifier and `data_params`, in the words of our config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seaproof.contract.training_config.names import did_you_mean
from seaproof.contract.training_config.reading import Problem

# Theirs -> ours.
_NAMES = {"pos_class": "positive_class", "cat_features": "categorical", "target": "target", "metrics": "metrics"}
_OURS = ("data", "split", "cross_validation", "early_stopping", "class_weights", "seed", "features", "exclude")


def is_params_json(given: Mapping[str, Any]) -> bool:
    """Whether a config is in the words of Release ML."""
    return "data_params" in given


def translate(given: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The same in our words. What ours adds (a split, a seed) may stand beside it; anything else is a problem."""
    data_params = given["data_params"]
    if not isinstance(data_params, dict):
        problems.append(Problem(("data_params",), "`data_params` should be a table of names and values"))
        data_params = {}
    config: dict[str, Any] = {"algorithm": "catboost", "task": "classification"}
    for key, value in given.items():
        if key in _OURS or key == "model_params":
            config[key] = value
        elif key != "data_params":
            known = ("model_params", "data_params", *_OURS)
            hint = did_you_mean(key, known) or f"What can stand beside `data_params`: {', '.join(known)}."
            problems.append(Problem((key,), f"nothing is known by the name `{key}`", hint))
    for key, value in data_params.items():
        if key in _NAMES:
            config[_NAMES[key]] = value
        else:
            hint = did_you_mean(key, _NAMES) or f"What can stand here: {', '.join(_NAMES)}."
            problems.append(Problem(("data_params", key), f"nothing is known by the name `{key}`", hint))
    return config


def their_path(path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Where a problem with our key stands in their file."""
    theirs = {ours: name for name, ours in _NAMES.items()}
    return ("data_params", theirs[str(path[0])], *path[1:]) if path and path[0] in theirs else path
