"""Fits an algorithm for an instant on made-up rows, to learn which values of `model_params` its library refuses.

What depends on the real rows is left to the job: lists and tables of columns or classes, names of files, and what
scikit-learn says of anything but a parameter.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from seaproof.contract.training_config.names import CLASSIFICATION
from seaproof.errors import ContractError
from seaproof.formats.schema import Field
from seaproof.training.algorithms import SKLEARN, Part, Setup, file_of, fit, watches
from seaproof.training.libraries import need

_ROWS = 200
_CLASSES = 50
_ROUNDS = {
    "catboost": "iterations",
    "xgboost": "n_estimators",
    "lightgbm": "n_estimators",
    "forest": "n_estimators",
    "boosting": "max_iter",
}
"""What says how long it takes."""
_COUNTS = re.compile(r"(num_)?iterations?|n_iter|n_estimators|num_boost_round|num_(trees?|rounds?)|nrounds?|max_iter")
"""The same by all of its names."""
_FEW = 2
_FILES = re.compile(r"file|path|(^|_)dir$|borders|snapshot")
_PLACE = re.compile(r"^(\[[\d:]+\] )?\S+\.(h|cpp|cc|hpp):\d+:\s*| at \S+, line \d+ *\.?$")
"""Where in the library's own source a message comes from."""


def refused(
    algorithm: str, task: str, params: Mapping[str, Any], classes: Sequence[str], stopping_rounds: int
) -> tuple[str, str] | None:
    """The parameter whose value the library refuses, and what it says; no name where it is several together.

    None where there is nothing to say: also where the algorithm cannot be fitted here at all.
    """
    given = {name: value for name, value in params.items() if _is_plain(name, value)}
    if not given:
        return None
    labels = tuple(sorted(classes)[:_CLASSES]) or ("no", "yes")
    setup = Setup(algorithm, {}, _fields(), labels if task == CLASSIFICATION else (), 0, stopping_rounds)
    if _complaint(setup, {}):
        return None
    said = _complaint(setup, given)
    if not said:
        return None
    for name in given:
        if not _complaint(setup, {other: value for other, value in given.items() if other != name}):
            return name, said
    # Several are wrong, each by itself or with the others.
    alone = ((name, _complaint(setup, {name: value})) for name, value in given.items())
    return next(((name, words) for name, words in alone if words), ("", said))


def _is_plain(name: str, value: Any) -> bool:
    return isinstance(value, (str, int, float, bool)) and not _FILES.search(name)


def _fields() -> tuple[Field, ...]:
    return tuple(Field(name, "float") for name in ("x0", "x1", "x2"))


def _complaint(setup: Setup, params: Mapping[str, Any]) -> str:
    """What the library says against these parameters; empty where it takes them."""
    short = {name: _shortened(name, value) for name, value in params.items()}
    if setup.algorithm in _ROUNDS and not any(map(_COUNTS.fullmatch, params)):
        short[_ROUNDS[setup.algorithm]] = _FEW
    own = replace(setup, params=short)
    part = _part(own)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they come again in the job's log
            fit(own, part, part if watches(own) else None)
    except ContractError as error:
        cause = error.__cause__
        return _told(cause) if cause is not None and _is_about_parameters(setup.algorithm, cause) else ""
    return ""


def _shortened(name: str, value: Any) -> Any:
    counts = _COUNTS.fullmatch(name) and isinstance(value, int)
    return min(value, _FEW) if counts else value


def _part(setup: Setup) -> Part:
    numpy, pandas = need("numpy"), need("pandas")
    draw = numpy.random.default_rng(0)
    rows = max(_ROWS, 10 * len(setup.classes))
    frame = pandas.DataFrame({field.name: draw.random(rows) for field in setup.fields})
    target = numpy.arange(rows) % len(setup.classes) if setup.classes else 0.1 + draw.random(rows)
    return Part(frame, target)


def _is_about_parameters(algorithm: str, error: BaseException) -> bool:
    """Of scikit-learn's errors many are about the rows, which are none of the author's here."""
    if file_of(algorithm) != SKLEARN or algorithm == "linear":
        return True
    return type(error).__name__ == "InvalidParameterError"


def _told(error: BaseException) -> str:
    """The library's words, without the place in its source and the stack that some add."""
    text = str(error).strip().partition("\nStack trace")[0]
    return _PLACE.sub("", " ".join(text.split())) or type(error).__name__
