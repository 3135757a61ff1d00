"""The algorithms that a config can name, one file for each library, imported when it is named."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from seaproof.contract.training_config.names import did_you_mean
from seaproof.errors import ContractError
from seaproof.formats.schema import Field

_FILES = {"catboost": "catboost", "xgboost": "xgboost", "lightgbm": "lightgbm"}
SKLEARN = "sklearn"


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
    own = setup.stopping_rounds > 0 and _module(setup).__name__.rpartition(".")[2] != SKLEARN
    return own or bool(_module(setup).wants_rows_to_watch(setup))


def fit(setup: Setup, train: Part, watch: Part | None) -> Fitted:
    """Fit the algorithm on `train`; `watch` are rows that early stopping looks at.

    ContractError where the image lacks the library, or the library refuses model_params.
    """
    try:
        fitted: Fitted = _module(setup).fit(setup, train, watch)
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


def _module(setup: Setup) -> ModuleType:
    return importlib.import_module(f"{__name__}.{_FILES.get(setup.algorithm, SKLEARN)}")


def check_params(setup: Setup, estimator: Any) -> None:
    """ContractError where `model_params` names what the estimator does not have."""
    known = [name for name in inspect.signature(estimator.__init__).parameters if name != "self"]
    for name in setup.params:
        if name not in known:
            raise ContractError(
                f"`{name}` is no parameter of {estimator.__name__}",
                where=f"config, model_params.{name}",
                next_step=did_you_mean(name, known) or f"It has {', '.join(known)}.",
            )
