"""A config against the columns that a file has and the values of its target."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from seaproof.contract.training_config.meaning import TrainingConfig
from seaproof.contract.training_config.names import (
    CLASSIFICATION,
    METRICS,
    REGRESSION,
    did_you_mean,
)
from seaproof.contract.training_config.reading import Problem

MOST_CLASSES = 20
"""So many different whole numbers in a target still are classes."""
_SHOWN = 8
_UNNAMED = re.compile(r"Unnamed: \d+")
"""As pandas calls a column without a name, also in files that it has written again."""


def named(header: Sequence[str]) -> list[str]:
    """The names of columns; those without one get one by their place, as pandas gives it."""
    return [name if name.strip() else f"Unnamed: {place}" for place, name in enumerate(header)]


def is_unnamed(name: str) -> bool:
    """Whether this is a column without a name: spreadsheets and data frames number their rows so."""
    return bool(_UNNAMED.fullmatch(name))


def is_data(path: PurePath) -> bool:
    """Whether a file in a folder of data is meant: names that begin with a dot or `_` are those of systems
    (.DS_Store, _SUCCESS)."""
    return not path.name.startswith((".", "_"))


def features_of(config: TrainingConfig, columns: Sequence[str]) -> list[str]:
    """The columns to learn from: those that the config lists, else all that have a name and no other part to play."""
    apart = set_apart(config)
    return list(config.features) or [name for name in columns if name not in apart and not is_unnamed(name)]


def set_apart(config: TrainingConfig) -> set[str]:
    """The columns that are not learned from: the target, the one that the rows are split by, those excluded."""
    return {config.target, config.split.by, *config.exclude}


def check_columns(config: TrainingConfig, columns: Sequence[str]) -> list[Problem]:
    """Every name in the config that is no column."""
    named: list[tuple[tuple[str | int, ...], str, str]] = [(("target",), "target", config.target)]
    for key in ("features", "categorical", "exclude"):
        names: tuple[str, ...] = getattr(config, key)
        named += [((key, place), key, name) for place, name in enumerate(names)]
    if config.split.by:
        named.append((("split", "by"), "split.by", config.split.by))
    problems = []
    for path, key, name in named:
        if name and name not in columns:
            what = f"{key} `{name}` is not a column"
            problems.append(Problem(path, what, did_you_mean(name, columns) or f"The columns are: {listed(columns)}."))
    return [*problems, *check_twice(columns)]


def check_twice(columns: Sequence[str]) -> list[Problem]:
    """A name that two columns have."""
    twice = sorted(name for name, count in Counter(columns).items() if count > 1)
    what = f"the column `{twice[0]}` is there twice" if twice else ""
    return [Problem(("data",), what, "Rename one in the file.")] if twice else []


def task_of(config: TrainingConfig, values: Iterable[str]) -> str:
    """classification or regression: what the config says, else what the target's values look like."""
    if config.task:
        return config.task
    if config.positive_class or config.class_weights:
        return CLASSIFICATION
    if config.metrics and config.metrics[0] in METRICS:
        return METRICS[config.metrics[0]].task
    different = set(values)
    numbers = [number for number in map(_number, different) if number is not None]
    if len(numbers) < len(different):
        return CLASSIFICATION
    whole = all(number == int(number) for number in numbers)
    return CLASSIFICATION if whole and len(different) <= MOST_CLASSES else REGRESSION


def check_target(config: TrainingConfig, values: Sequence[str]) -> list[Problem]:
    """What the target's values (those that are not missing) stand against."""
    task = task_of(config, values)
    different = sorted(set(values))
    if len(different) < 2:
        what = f"the target `{config.target}` is {f'always `{different[0]}`' if different else 'missing in every row'}"
        return [Problem(("target",), what, "There is nothing to learn; choose another target.")]
    if task == REGRESSION:
        odd = next((value for value in different if _number(value) is None), None)
        if odd is not None:
            what = f"the target `{config.target}` is to be predicted as a number, but holds `{odd}`"
            return [Problem(("target",), what, "Say `task: classification`, or list it below `data.missing`.")]
        return []
    return _check_classes(config, different, len(values))


def _check_classes(config: TrainingConfig, classes: Sequence[str], rows: int) -> list[Problem]:
    problems = []
    if len(classes) > MOST_CLASSES and len(classes) > rows / 2:
        what = f"the target `{config.target}` has {len(classes)} different values in {rows} rows"
        problems.append(
            Problem(("target",), what, "That is no class; say `task: regression`, or choose another target.")
        )
    if config.positive_class and config.positive_class not in classes:
        hint = did_you_mean(config.positive_class, classes) or f"It is one of {listed(classes)}."
        what = f"positive_class `{config.positive_class}` is no value of `{config.target}`"
        problems.append(Problem(("positive_class",), what, hint))
    weights = config.class_weights if not isinstance(config.class_weights, str) else {}
    for name in weights:
        if name not in classes:
            hint = did_you_mean(name, classes) or f"They are: {listed(classes)}."
            problems.append(Problem(("class_weights", name), f"`{name}` is no value of `{config.target}`", hint))
    for place, name in enumerate(config.metrics):
        if name in METRICS and METRICS[name].two_classes and len(classes) > 2:
            what = f"`{name}` is for two classes, and `{config.target}` has {len(classes)}: {listed(classes)}"
            problems.append(Problem(("metrics", place), what, "Take it out of `metrics`."))
    return problems


def listed(names: Sequence[str]) -> str:
    """Names for a message, the first few of many."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"`{name}`" for name in names[:_SHOWN]) + more


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number - number == 0 else None
