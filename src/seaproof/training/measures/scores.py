"""Every metric of a config, on one set of rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seaproof.contract.training_config.metric_lines import fitting
from seaproof.contract.training_config.names import CLASSIFICATION, REGRESSION
from seaproof.training.libraries import need
from seaproof.training.measures.hosmer_lemeshow import calibration_error, hosmer_lemeshow, probability_groups
from seaproof.training.measures.lift import lift


@dataclass(frozen=True)
class Outcome:
    """What happened in some rows, and what was predicted of them."""

    target: Any
    """Class numbers, or values."""
    predicted: Any
    """Probabilities (rows by classes), or values."""
    classes: tuple[str, ...] = ()
    positive: int = 1
    """Which class two-class metrics are about."""
    fitted: bool = False
    """Whether the model learned from these very rows."""

    @property
    def two_classes(self) -> bool:
        """Whether a positive class stands against one other."""
        return len(self.classes) == 2

    @property
    def labels(self) -> Any:
        """The class predicted of each row: the most probable."""
        return self.predicted.argmax(axis=1)

    @property
    def happened(self) -> Any:
        """1 where a row is of the positive class, else 0."""
        return (self.target == self.positive).astype(float)

    @property
    def score(self) -> Any:
        """The probability of the positive class."""
        return self.predicted[:, self.positive]


def measure(outcome: Outcome, names: Sequence[str] = ()) -> dict[str, float]:
    """The metrics of these names (default: all that fit). Those that the rows do not define are left out: an roc_auc
    where only one class is there, a hosmer_lemeshow that is infinite (its p is 0)."""
    task = CLASSIFICATION if outcome.classes else REGRESSION
    found: dict[str, float] = {}
    for name in names or fitting(task, len(outcome.classes)):
        for part, value in _CALCULATE[name](outcome).items():
            if math.isfinite(value):
                found[part] = float(value)
    return found


def _roc_auc(outcome: Outcome) -> float:
    metrics, numpy = need("sklearn.metrics"), need("numpy")
    if outcome.two_classes:
        if len(numpy.unique(outcome.happened)) < 2:
            return math.nan
        return float(metrics.roc_auc_score(outcome.happened, outcome.score))
    there = numpy.unique(outcome.target)
    if len(there) < len(outcome.classes):
        return math.nan
    labels = range(len(outcome.classes))
    return float(metrics.roc_auc_score(outcome.target, outcome.predicted, multi_class="ovr", labels=labels))


def _pr_auc(outcome: Outcome) -> float:
    """Average precision; of several classes the mean over those that are there."""
    metrics, numpy = need("sklearn.metrics"), need("numpy")
    if outcome.two_classes:
        if not outcome.happened.any():
            return math.nan
        return float(metrics.average_precision_score(outcome.happened, outcome.score))
    there = numpy.unique(outcome.target)
    each = [metrics.average_precision_score(outcome.target == one, outcome.predicted[:, one]) for one in there]
    return float(numpy.mean(each))


def _by_label(function: str) -> Callable[[Outcome], float]:
    def calculate(outcome: Outcome) -> float:
        score = getattr(need("sklearn.metrics"), function)
        if outcome.two_classes:
            target, labels = outcome.target == outcome.positive, outcome.labels == outcome.positive
            return float(score(target, labels, zero_division=0.0))
        return float(score(outcome.target, outcome.labels, average="macro", zero_division=0.0))

    return calculate


def _log_loss(outcome: Outcome) -> float:
    labels = range(len(outcome.classes))
    return float(need("sklearn.metrics").log_loss(outcome.target, outcome.predicted, labels=labels))


def _hosmer_lemeshow(outcome: Outcome) -> dict[str, float]:
    found = hosmer_lemeshow(outcome.happened, outcome.score, fitted=outcome.fitted)
    return {"hosmer_lemeshow": found.statistic, "hosmer_lemeshow_p": found.p_value}


def _calibration(outcome: Outcome) -> float:
    return calibration_error(probability_groups(outcome.happened, outcome.score))


def _rmse(outcome: Outcome) -> float:
    return float(math.sqrt(((outcome.target - outcome.predicted) ** 2).mean()))


def _r2(outcome: Outcome) -> float:
    if len(outcome.target) < 2:
        return math.nan
    return float(need("sklearn.metrics").r2_score(outcome.target, outcome.predicted))


def _one(name: str, calculate: Callable[[Outcome], float]) -> Callable[[Outcome], dict[str, float]]:
    return lambda outcome: {name: calculate(outcome)}


_ALONE: Mapping[str, Callable[[Outcome], float]] = {
    "roc_auc": _roc_auc,
    "pr_auc": _pr_auc,
    "accuracy": lambda outcome: float((outcome.labels == outcome.target).mean()),
    "f1": _by_label("f1_score"),
    "precision": _by_label("precision_score"),
    "recall": _by_label("recall_score"),
    "log_loss": _log_loss,
    "lift": lambda outcome: lift(outcome.happened, outcome.score),
    "calibration": _calibration,
    "rmse": _rmse,
    "mae": lambda outcome: float(abs(outcome.target - outcome.predicted).mean()),
    "r2": _r2,
}
_CALCULATE: Mapping[str, Callable[[Outcome], dict[str, float]]] = {
    **{name: _one(name, calculate) for name, calculate in _ALONE.items()},
    "hosmer_lemeshow": _hosmer_lemeshow,
}
