"""The algorithms that a config can name, one file for each library, imported when it is named."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from seaproof.contract.training_config.names import CLASSIFICATION, REGRESSION, did_you_mean
from seaproof.errors import ContractError
from seaproof.formats.schema import Field

_FILES = {"catboost": "catboost", "xgboost": "xgboost", "lightgbm": "lightgbm"}
SKLEARN = "sklearn"
_ALIKE = (
    ("n_estimators", "iterations", "max_iter", "num_boost_round", "num_iterations", "num_trees"),
    ("max_depth", "depth"),
    ("learning_rate", "eta"),
    ("num_leaves", "max_leaves", "max_leaf_nodes"),
    ("min_samples_leaf", "min_data_in_leaf", "min_child_samples"),
    ("reg_lambda", "l2_leaf_reg", "l2_regularization", "lambda_l2"),
    ("colsample_bytree", "feature_fraction", "rsm", "max_features"),
    ("class_weight", "auto_class_weights"),
)
"""What the libraries call the same thing: people change the algorithm in one line, and its parameters stay."""


@dataclass(frozen=True)
class Setup:
    """What all parts of one training have in common."""

    algorithm: str
    params: Mapping[str, Any]
    """`model_params`, as they stand in the config."""
    fields: tuple[Field, ...]
    classes: tuple[str, ...]
    """The labels in sorting order; empty for a regression."""
    seed: int
    stopping_rounds: int = 0
    validation: float = 0.1
    """Share that `boosting` keeps for itself to stop by."""

    @property
    def task(self) -> str:
        """classification or regression."""
        return CLASSIFICATION if self.classes else REGRESSION


@dataclass(frozen=True)
class Part:
    """Some rows: their columns, targets and weights."""

    frame: Any
    """See `tables.Frame`."""
    target: Any
    """The number of each row's class among `Setup.classes`, or the value to predict."""
    weights: Any = None

    def __len__(self) -> int:
        return len(self.frame)


class Fitted(Protocol):
    """One fitted model."""

    @property
    def rounds(self) -> int | None:
        """How many rounds were built and kept; None where the algorithm knows none."""

    def predict(self, frame: Any) -> Any:
        """Probabilities, rows by classes; or one value for each row."""

    def importance(self) -> dict[str, float]:
        """How much each column matters, by the library's own measure; empty where it has none."""

    def save(self, folder: Path) -> Path:
        """Write the model in the library's own format; the file."""


def watches(setup: Setup) -> bool:
    """Whether the algorithm is to be given rows that it stops by."""
    module = _module(setup.algorithm)
    own = setup.stopping_rounds > 0 and file_of(setup.algorithm) != SKLEARN
    return own or bool(module.wants_rows_to_watch(setup))


def fit(setup: Setup, train: Part, watch: Part | None) -> Fitted:
    """Fit the algorithm on `train`; `watch` are rows that early stopping looks at.

    ContractError where the image lacks the library, or the library refuses model_params.
    """
    try:
        fitted: Fitted = _module(setup.algorithm).fit(setup, train, watch)
    except ContractError:
        raise
    except Exception as error:
        # Names are checked before; what is left are values, and data that this algorithm cannot take.
        raise ContractError(
            f"{setup.algorithm} could not be trained: {type(error).__name__}: {str(error).strip()}",
            where="config, model_params",
            next_step="The message is the library's own; look the parameter up in its documentation.",
        ) from error
    return fitted


def file_of(algorithm: str) -> str:
    """The library that an algorithm is of, as its file here is called."""
    return _FILES.get(algorithm, SKLEARN)


def _module(algorithm: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{file_of(algorithm)}")


def check_params(algorithm: str, task: str, params: Mapping[str, Any]) -> None:
    """ContractError where `model_params` names what the algorithm does not have; before there is any data.

    Where the `task` is not known yet, what either of its estimators has will do.
    """
    if not params:
        return
    module = _module(algorithm)
    both = module.estimators(algorithm)
    estimators = {CLASSIFICATION: both[:1], REGRESSION: both[1:]}.get(task, both)
    unknown = [set(module.unknown(estimator, params)) for estimator in estimators]
    for name in params:
        if all(name in names for names in unknown):
            known = signature_of(estimators[0])
            others = ", and what its library's documentation lists" if takes_others(estimators[0]) else ""
            raise ContractError(
                f"`{name}` is no parameter of {estimators[0].__name__}",
                where=f"config, model_params.{name}",
                next_step=_here(name, known) or did_you_mean(name, known) or f"It has {', '.join(known)}{others}.",
            )


def _here(name: str, known: Sequence[str]) -> str:
    """What a parameter of another library is called in this one."""
    alike = next((names for names in _ALIKE if name in names), ())
    called = next((other for other in alike if other in known), "")
    return f"Here it is called `{called}`." if called else ""


def signature_of(estimator: Any) -> list[str]:
    """The parameters that an estimator names, in its own signature or in those that it passes further ones on to."""
    found = inspect.signature(estimator.__init__).parameters.values()
    named = [one.name for one in found if one.name != "self" and one.kind is not one.VAR_KEYWORD]
    return list(dict.fromkeys([*named, *estimator().get_params()])) if takes_others(estimator) else named


def takes_others(estimator: Any) -> bool:
    """Whether it hands what it does not name to its library."""
    found = inspect.signature(estimator.__init__).parameters.values()
    return any(one.kind is one.VAR_KEYWORD for one in found)


def not_named(estimator: Any, params: Mapping[str, Any]) -> list[str]:
    """Those of `params` that an estimator does not name."""
    known = set(signature_of(estimator))
    return [name for name in params if name not in known]
