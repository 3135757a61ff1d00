"""Fits a model on some of a job's rows, once or fold by fold, and says how good it is on others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from seaproof.contract.training_config.meaning import BALANCED, TrainingConfig
from seaproof.contract.training_config.metric_lines import FOLDS
from seaproof.errors import ContractError
from seaproof.training.algorithms import Fitted, Part, Setup, fit, watches
from seaproof.training.libraries import need
from seaproof.training.measures.scores import Outcome, measure
from seaproof.training.prepared import Prepared
from seaproof.training.results import say
from seaproof.training.splits import folds, split


def fit_rows(setup: Setup, prepared: Prepared, config: TrainingConfig, rows: Any) -> Fitted:
    """Fit on these rows, less those that early stopping looks at."""
    watch = None
    if watches(setup):
        target = prepared.target if prepared.classes else None
        how = replace(config.split, test_values=())
        kept = split(rows, config.split.validation, how, config.seed, target, prepared.groups)
        rows, watch = kept.train, _part(prepared, config, kept.kept)
        say(f"{len(kept.kept):,} rows of these decide when to stop")
    _check_classes(prepared, rows)
    return fit(setup, _part(prepared, config, rows), watch)


def _check_classes(prepared: Prepared, rows: Any) -> None:
    """A class that is in no row to learn from cannot be learned; splitting took its few rows away."""
    there = set(prepared.target[rows].tolist()) if prepared.classes else set()
    missing = [name for number, name in enumerate(prepared.classes) if number not in there]
    if missing:
        raise ContractError(
            f"all rows of the class `{missing[0]}` are kept apart, so that it cannot be learned",
            where="config, target",
            next_step="Give more rows of it, or leave those that there are out of the file.",
        )


def cross_validate(setup: Setup, prepared: Prepared, config: TrainingConfig) -> dict[str, float]:
    """Mean and standard deviation of each metric over the folds of the training rows."""
    numpy = need("numpy")
    target = prepared.target if prepared.classes else None
    found: dict[str, list[float]] = {}
    pairs = folds(prepared.train, config.folds, config.split, config.seed, target, prepared.groups)
    for number, (learned, measured) in enumerate(pairs, 1):
        fitted = fit_rows(setup, prepared, config, learned)
        scores = measure(outcome_of(fitted, prepared, measured), config.metrics)
        for name, value in scores.items():
            found.setdefault(name, []).append(value)
        first = next(iter(scores), "")
        say(f"fold {number} of {config.folds}: {first} {scores[first]:.4f}" if first else f"fold {number}")
    metrics = {}
    for name, values in found.items():
        if len(values) == config.folds and not name.endswith("_p"):  # a mean of p-values would mean nothing
            metrics[f"{FOLDS}{name}"] = float(numpy.mean(values))
            metrics[f"{FOLDS}{name}_std"] = float(numpy.std(values, ddof=1))
    return metrics


def outcome_of(fitted: Fitted, prepared: Prepared, rows: Any, *, fitted_to: bool = False) -> Outcome:
    """What the model says of these rows, beside what happened."""
    predicted = need("numpy").asarray(fitted.predict(prepared.frame.iloc[rows]))
    return Outcome(prepared.target[rows], predicted, prepared.classes, prepared.positive, fitted=fitted_to)


def _part(prepared: Prepared, config: TrainingConfig, rows: Any) -> Part:
    target = prepared.target[rows]
    return Part(prepared.frame.iloc[rows].reset_index(drop=True), target, _weights(target, prepared.classes, config))


def _weights(target: Any, classes: tuple[str, ...], config: TrainingConfig) -> Any:
    """A weight for each row, or None where all count the same."""
    numpy = need("numpy")
    if not config.class_weights or not classes:
        return None
    if isinstance(config.class_weights, str):
        counts = numpy.bincount(target, minlength=len(classes))
        each = len(target) / (len(classes) * numpy.maximum(counts, 1)) if config.class_weights == BALANCED else None
    else:
        each = numpy.array([config.class_weights.get(name, 1.0) for name in classes], float)
    return None if each is None else each[target]
