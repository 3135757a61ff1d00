"""A training config in words, for people who know their data and little machine learning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from seaproof.contract.training_config.columns import features_of, is_unnamed
from seaproof.contract.training_config.meaning import BALANCED, TrainingConfig
from seaproof.contract.training_config.metric_lines import fitting
from seaproof.contract.training_config.names import ALGORITHMS, CLASSIFICATION, METRICS, REGRESSION
from seaproof.training_file.check import Found

RARE = 0.1
"""A class with less than this share makes accuracy a poor guide."""
FEW = 500
"""Of so few rows a fifth is too few to measure well on."""
_NAMED = 12


def explain(config: TrainingConfig, found: Found, task: str) -> dict[str, str]:
    """What will be done, as headings and sentences; `found` may be empty where the data is not here."""
    told = {
        "data": _data(config, found),
        "question": _question(config, found, task),
        "columns": _columns(config, found),
        "algorithm": _algorithm(config),
        "measured on": _kept(config, found),
        "early stopping": _stopping(config),
        "cross-validation": _folds(config),
        "class weights": _weights(config),
        "metrics": _metrics(config, found, task),
        "beware": _beware(config, found, task),
        "result": "model.tar.gz with the model and its schema.json, which `seaproof serve` puts behind an endpoint; "
        "report.html to look at, metrics.json for programs.",
    }
    return {heading: words for heading, words in told.items() if words}


def _data(config: TrainingConfig, found: Found) -> str:
    if not found.rows:
        return f"{config.data.train or 'what the job gets as channel `train`'}; it is looked at by the job itself."
    files = config.data.train if len(found.files) == 1 else f"{len(found.files)} files in {config.data.train}"
    words = f"{files}: {found.rows:,} rows, {len(found.columns)} columns."
    missing = found.rows - len(found.target)
    if missing:
        words += f" {missing:,} rows without `{config.target}` are left out."
    return words


def _question(config: TrainingConfig, found: Found, task: str) -> str:
    if task == REGRESSION:
        return f"What number is `{config.target}`? (a regression)"
    if not found.target:
        return f"What is `{config.target}`?" + (" (a classification)" if task == CLASSIFICATION else "")
    classes = sorted(Counter(found.target).items(), key=lambda item: -item[1])
    shares = [f"{name} ({_percent(count / len(found.target))})" for name, count in classes[:_NAMED]]
    more = f" and {len(classes) - _NAMED} more" if len(classes) > _NAMED else ""
    words = f"Which of {len(classes)} classes is `{config.target}`: {', '.join(shares)}{more}? (a classification)"
    if len(classes) == 2:
        positive = config.positive_class or max(name for name, _ in classes)
        words += f" The positive class is {positive}: metrics such as recall and lift are about finding it."
    return words


def _columns(config: TrainingConfig, found: Found) -> str:
    if config.features:
        words = f"Only {_listed(config.features)}."
    elif found.columns:
        names = features_of(config, found.columns)
        words = f"All {len(names)} others: {_listed(names)}."
        if any(map(is_unnamed, found.columns)):
            words += " A column without a name, which numbers the rows, is left out."
    else:
        words = "All but the target."
    if config.exclude:
        words += f" Left out: {_listed(config.exclude)}."
    if config.categorical:
        words += (
            f" {_listed(config.categorical)} {'hold' if len(config.categorical) > 1 else 'holds'} names, not numbers."
        )
    return words + " Columns of text count as categories; empty cells may be there."


def _algorithm(config: TrainingConfig) -> str:
    algorithm = ALGORITHMS[config.algorithm]
    words = f"{config.algorithm} (package {algorithm.package}): {algorithm.words}."
    if config.model_params:
        given = ", ".join(f"{name} = {value}" for name, value in config.model_params.items())
        words += f" With {given}; all else as the library has it."
    return f"{words} Seed {config.seed}: the same data gives the same model again."


def _kept(config: TrainingConfig, found: Found) -> str:
    if config.data.test:
        return f"The rows of {config.data.test}, which the model never learns from."
    split = config.split
    if split.by and split.test_values:
        return f"The rows with {_listed(split.test_values)} in `{split.by}`, which the model never learns from."
    if not split.test:
        return "Nothing is kept apart: only metrics of rows that the model has seen, which flatter it."
    about = f" (about {round(split.test * len(found.target)):,} rows)" if found.rows else ""
    if split.by:
        return (
            f"{_percent(split.test)} of the rows{about}, whole values of `{split.by}` at a time, so that none is on "
            "both sides. The model never learns from them."
        )
    return f"{_percent(split.test)} of the rows{about}, drawn by chance. The model never learns from them."


def _stopping(config: TrainingConfig) -> str:
    if not config.stopping_rounds:
        return ""
    return (
        f"The model grows round by round, and stops when {config.stopping_rounds} rounds brought nothing on "
        f"{_percent(config.split.validation)} of the rows that it learns from."
    )


def _folds(config: TrainingConfig) -> str:
    if not config.folds:
        return ""
    return (
        f"The rows to learn from are cut into {config.folds} parts; {config.folds} further models learn from all parts "
        "but one and are measured on that one. The spread says how far the figures depend on chance."
    )


def _weights(config: TrainingConfig) -> str:
    if not config.class_weights:
        return ""
    if config.class_weights == BALANCED:
        return (
            "Rows are weighted so that every class counts the same and rare ones are not passed over; their "
            "probabilities then come out too high."
        )
    given: Mapping[str, float] = config.class_weights  # type: ignore[assignment]
    return "A row counts " + ", ".join(f"{weight:g} times where it is {name}" for name, weight in given.items()) + "."


def _metrics(config: TrainingConfig, found: Found, task: str) -> str:
    classes = len(set(found.target)) if task == CLASSIFICATION else 0
    names = config.metrics or fitting(task, classes)
    return "\n".join(f"{name}: {METRICS[name].words}." for name in names)


def _beware(config: TrainingConfig, found: Found, task: str) -> str:
    words = []
    if task == CLASSIFICATION and found.target:
        rarest, count = min(Counter(found.target).items(), key=lambda item: item[1])
        if count / len(found.target) < RARE:
            share = _percent(count / len(found.target))
            words.append(f"{rarest} is rare ({share}): accuracy says little then; look at pr_auc and recall.")
    if 0 < found.rows < FEW and not config.folds:
        words.append(f"{found.rows} rows are few: `cross_validation: 5` tells how far to trust the figures.")
    return " ".join(words)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _listed(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
