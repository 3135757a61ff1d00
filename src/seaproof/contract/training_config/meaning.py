"""What a training config means: every key, its default, and what it excludes.

A config is a plain dictionary, whether it came from YAML, from JSON, from seaproof.toml or from hyperparameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seaproof.contract.training_config.names import (
    ALGORITHMS,
    CLASSIFICATION,
    METRICS,
    REGRESSION,
    TASKS,
    did_you_mean,
)
from seaproof.contract.training_config.params_json import is_params_json, translate
from seaproof.contract.training_config.reading import Problem, Reader

BALANCED = "balanced"
MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?")
MOST_FOLDS = 50
_SEPARATORS = {"tab": "\t", "\\t": "\t"}


@dataclass(frozen=True)
class Data:
    """The files, and how to read them."""

    train: str = ""
    """A file, a folder or an s3:// prefix; empty where the job gets its data as a channel."""
    test: str = ""
    """Rows to measure on that come in a file of their own; empty: some of the training rows are kept for that."""
    header: bool = True
    columns: tuple[str, ...] = ()
    """Names of the columns of a file without header."""
    separator: str = ","
    missing: tuple[str, ...] = MISSING
    """Cells that mean: not known."""


@dataclass(frozen=True)
class Split:
    """Which rows are kept to measure on."""

    test: float = 0.2
    """Share of the rows, drawn by the seed; 0 keeps none."""
    validation: float = 0.1
    """Share of the remaining rows that early stopping looks at."""
    stratify: bool | None = None
    """Keep the shares of the classes the same; None: wherever classes are predicted."""
    by: str = ""
    """A column whose value decides instead of chance."""
    test_values: tuple[str, ...] = ()
    """The values of that column whose rows are kept to measure on; empty: whole values are drawn by the seed, so that
    no value (a customer, a day) is on both sides."""


@dataclass(frozen=True)
class TrainingConfig:
    """One training, with nothing left to decide but what the data says."""

    target: str
    data: Data = Data()
    features: tuple[str, ...] = ()
    """Columns to learn from; empty: all but the target and `exclude`."""
    exclude: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    """Columns whose values are names, also where they look like numbers. Columns of text always are."""
    task: str = ""
    """classification or regression; empty: as the target looks."""
    positive_class: str = ""
    """The class that probabilities and two-class metrics are about; empty: the last in sorting order."""
    algorithm: str = "boosting"
    model_params: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    """Empty: all that fit the task."""
    split: Split = Split()
    folds: int = 0
    """Folds of a cross-validation on the training rows; 0: none."""
    stopping_rounds: int = 0
    """Stop when so many rounds brought nothing; 0: build all rounds."""
    class_weights: str | Mapping[str, float] = ""
    """`balanced`, a weight for each class, or empty."""
    seed: int = 0


def read_config(given: Mapping[str, Any]) -> tuple[TrainingConfig, list[Problem]]:
    """What a config means, and every mistake in it; with mistakes, the first part holds defaults in their place."""
    problems: list[Problem] = []
    if is_params_json(given):
        given = translate(given, problems)
    top = Reader(given, problems)
    task = top.choice("task", TASKS)
    config = TrainingConfig(
        target=_target(top),
        data=_data(top.table("data", "train")),
        features=top.texts("features"),
        exclude=top.texts("exclude"),
        categorical=top.texts("categorical"),
        task=task,
        positive_class=top.text("positive_class"),
        algorithm=top.choice("algorithm", ALGORITHMS, TrainingConfig.algorithm),
        model_params=top.mapping("model_params"),
        metrics=_metrics(top, task),
        split=_split(top.table("split", "test")),
        folds=_folds(top.table("cross_validation", "folds")),
        stopping_rounds=_rounds(top.table("early_stopping", "rounds")),
        class_weights=_class_weights(top),
        seed=top.whole("seed", 0, 0, 2**31 - 1, "a whole number from 0 on"),
    )
    top.done()
    _check_together(config, top)
    return config, problems


def _target(top: Reader) -> str:
    target = top.text("target")
    if not target and not isinstance(top.raw("target"), (dict, list)):
        top.problem("", "there is no `target`", "Name the column that is to be predicted, like `target: price`.")
    return target


def _data(table: Reader) -> Data:
    missing = table.raw("missing")
    separator = table.text("separator", ",")
    data = Data(
        train=table.text("train"),
        test=table.text("test"),
        header=table.flag("header", True) is not False,
        columns=table.texts("columns"),
        separator=_SEPARATORS.get(separator, separator),
        missing=MISSING if missing is None else ("", *(text for text in table.texts("missing") if text)),
    )
    if len(data.separator) != 1 or data.separator in '"\r\n':
        table.problem(
            "separator", f"`separator` is {data.separator!r}", 'It should be one character, like ";", or the word tab.'
        )
    if data.header and data.columns:
        table.problem(
            "columns",
            "the file has a header, and `columns` names the columns again",
            "Say `header: false`, or leave `columns` out.",
        )
    table.done()
    return data


def _metrics(top: Reader, task: str) -> tuple[str, ...]:
    names = top.texts("metrics")
    for place, name in enumerate(names):
        if name not in METRICS:
            hint = did_you_mean(name, METRICS) or f"It can be {', '.join(METRICS)}."
            top.problem("metrics", f"`{name}` is no metric", hint, place)
        elif task and METRICS[name].task != task:
            fitting = ", ".join(other for other, metric in METRICS.items() if metric.task == task)
            top.problem("metrics", f"`{name}` does not measure a {task}", f"Those that do: {fitting}.", place)
    return names


def _split(table: Reader) -> Split:
    split = Split(
        test=table.number("test", Split.test, 0, 0.9, "a share from 0 to 0.9, like 0.2 for a fifth of the rows"),
        validation=table.number("validation", Split.validation, 0.01, 0.5, "a share from 0.01 to 0.5"),
        stratify=table.flag("stratify", None),
        by=table.text("by"),
        test_values=table.texts("test_values"),
    )
    if split.test_values and not split.by:
        table.problem("test_values", "`test_values` are values of a column that is not named", "Name it: `by: year`.")
    if split.by and split.stratify:
        table.problem("stratify", "`stratify` draws rows by chance, and `by` by a column", "Keep one of the two.")
    table.done()
    return split


def _folds(table: Reader) -> int:
    folds = table.whole("folds", 0, 2, MOST_FOLDS, f"a whole number from 2 to {MOST_FOLDS}; 5 is usual")
    table.done()
    return folds


def _rounds(table: Reader) -> int:
    rounds = table.whole("rounds", 0, 1, 100_000, "a whole number from 1 on; 50 is usual")
    table.done()
    return rounds


def _class_weights(top: Reader) -> str | dict[str, float]:
    value = top.raw("class_weights")
    if not isinstance(value, dict):
        return top.choice("class_weights", (BALANCED,)) if value is not None else ""
    table = top.table("class_weights")
    return {str(name): table.number(name, 1.0, 0, 1e9, "a number that is not negative") for name in value}


def _check_together(config: TrainingConfig, top: Reader) -> None:
    """Keys that are right by themselves and do not go together."""
    for key, names in (("features", config.features), ("categorical", config.categorical), ("exclude", config.exclude)):
        if config.target in names:
            top.problem(
                key,
                f"`{config.target}` is the target, and stands in `{key}` too",
                "Take it out: what is to be predicted is never learned from.",
                names.index(config.target),
            )
    for name in config.features:
        if name in config.exclude:
            top.problem("exclude", f"`{name}` stands in `features` and in `exclude`", "Take it out of one of them.")
    stops = [name for name, algorithm in ALGORITHMS.items() if algorithm.early_stopping]
    if config.stopping_rounds and config.algorithm not in stops:
        top.problem(
            "early_stopping",
            f"`{config.algorithm}` is not built round by round, so it cannot stop early",
            f"Leave `early_stopping` out, or choose one of {', '.join(stops)}.",
        )
    if config.task == REGRESSION:
        for key in ("positive_class", "class_weights"):
            if key in top:
                top.problem(
                    key,
                    f"a regression has no classes, so `{key}` means nothing",
                    f"Leave it out, or say `task: {CLASSIFICATION}`.",
                )
        if config.split.stratify:
            top.problem("split", "a regression has no classes to stratify by", "Leave `stratify` out.", "stratify")
