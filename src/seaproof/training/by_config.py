"""Trains by a config: from the channel's files to the model with its schema, the metrics and the report.

model/          the model in its library's own format, schema.json
output/data/    metrics.json, report.html
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seaproof.contract.training_config.columns import check_target, task_of
from seaproof.contract.training_config.flat import unflatten
from seaproof.contract.training_config.meaning import BALANCED, TrainingConfig, read_config
from seaproof.contract.training_config.metric_lines import FOLDS, TRAIN
from seaproof.contract.training_config.names import CLASSIFICATION
from seaproof.errors import ContractError
from seaproof.formats.schema import Field
from seaproof.training.algorithms import Fitted, Part, Setup, fit, watches
from seaproof.training.job import Job
from seaproof.training.libraries import need
from seaproof.training.measures.scores import Outcome, measure
from seaproof.training.results import save_model, say, say_metrics, write_metrics
from seaproof.training.splits import folds, split
from seaproof.training.tables import Columns, choose, read_files, refuse, typed, with_categories

TRAIN_CHANNELS = ("train", "training")
TEST_CHANNELS = ("test", "validation")


@dataclass(frozen=True)
class Prepared:
    """The rows of a job, typed and told apart."""

    frame: Any
    target: Any
    """Class numbers or values, of every row of `frame`."""
    columns: Columns
    classes: tuple[str, ...]
    positive: int
    train: Any
    """Numbers of the rows to learn from."""
    test: Any
    """Numbers of the rows to measure on; may be none."""
    groups: Any
    """Cells of the column to split by; None where there is none."""
    raw: Any
    """The rows to learn from as they were read, for the report."""


def train_by_config(job: Job) -> None:
    """Run a job whose hyperparameters are a config. ContractError for all that its author can mend."""
    started = time.monotonic()
    config, problems = read_config(unflatten(job.raw_hyperparameters))
    refuse(problems)
    prepared = prepare(job, config)
    setup = Setup(
        algorithm=config.algorithm,
        params=config.model_params,
        fields=prepared.columns.fields,
        classes=prepared.classes,
        seed=config.seed,
        stopping_rounds=config.stopping_rounds,
        validation=config.split.validation,
    )
    metrics: dict[str, float] = {}
    if config.folds:
        metrics.update(cross_validate(setup, prepared, config))
    say(f"training {config.algorithm} on {len(prepared.train):,} rows and {len(setup.fields)} columns")
    fitted = fit_rows(setup, prepared, config, prepared.train)
    if fitted.rounds is not None:
        say(f"{fitted.rounds} rounds were built and kept")
    train_outcome = outcome_of(fitted, prepared, prepared.train, fitted_to=True)
    metrics.update({f"{TRAIN}{name}": value for name, value in measure(train_outcome, config.metrics).items()})
    test_outcome = outcome_of(fitted, prepared, prepared.test) if len(prepared.test) else None
    if test_outcome:
        metrics.update(measure(test_outcome, config.metrics))
    else:
        say("no rows were kept to measure on: train:* metrics are those of rows that the model has seen")
    save_model(fitted, setup, config, list(prepared.raw.columns), job.model_dir)
    say_metrics(metrics)
    write_metrics(job.output_data_dir, metrics, config, setup, prepared_rows(prepared))
    say(f"done after {time.monotonic() - started:.1f} s")


def prepared_rows(prepared: Prepared) -> dict[str, int]:
    """How many rows were learned from and measured on."""
    return {"train": len(prepared.train), "test": len(prepared.test)}


def prepare(job: Job, config: TrainingConfig) -> Prepared:
    """Read the channels, find target and columns, and tell the rows apart."""
    numpy = need("numpy")
    frame = read_files(_files(job, TRAIN_CHANNELS), config.data)
    say(f"read {len(frame):,} rows and {len(frame.columns)} columns")
    columns = choose(frame, config)
    known = frame[config.target].notna()
    if not known.all():
        say(f"{int((~known).sum()):,} rows without `{config.target}` are left out")
    tests = [name for name in TEST_CHANNELS if name in job.channels]
    apart = None
    if tests:
        apart = read_files(_files(job, TEST_CHANNELS), config.data)
        _check_same(apart, [config.target, *columns.names])
        apart = apart[apart[config.target].notna()]
    frame = frame[known].reset_index(drop=True)
    values = frame[config.target].tolist()
    refuse(check_target(config, values))
    task = task_of(config, values)
    classes = tuple(sorted(set(values))) if task == CLASSIFICATION else ()
    rows = numpy.arange(len(frame))
    if apart is not None:
        frame = need("pandas").concat([frame, apart], ignore_index=True)
    target = _target(frame[config.target], classes, config)
    groups = frame[config.split.by].to_numpy() if config.split.by else None
    test = numpy.arange(len(rows), len(frame))
    if apart is None and (config.split.test or config.split.test_values):
        kept = split(rows, config.split.test, config.split, config.seed, target if classes else None, groups)
        rows, test = kept.train, kept.kept
        say(f"{len(test):,} rows are kept to measure on: {kept.words}")
    for note in columns.notes:
        say(note)
    shown = typed(frame, columns.fields)
    fields = with_categories(columns.fields, shown.iloc[rows])
    single = [field.name for field in fields if field.type == "str" and len(field.categories) < 2]
    for name in single:
        say(f"`{name}` is left out: it has one value only")
    fields = tuple(field for field in fields if field.name not in single)
    positive = classes.index(config.positive_class) if config.positive_class else len(classes) - 1
    return Prepared(shown, target, Columns(fields, columns.notes), classes, positive, rows, test, groups, frame)


def fit_rows(setup: Setup, prepared: Prepared, config: TrainingConfig, rows: Any) -> Fitted:
    """Fit on these rows, less those that early stopping looks at."""
    watch = None
    if watches(setup):
        target = prepared.target if prepared.classes else None
        how = replace(config.split, test_values=())
        kept = split(rows, config.split.validation, how, config.seed, target, prepared.groups)
        rows, watch = kept.train, _part(prepared, config, kept.kept)
        say(f"{len(kept.kept):,} rows of these decide when to stop")
    return fit(setup, _part(prepared, config, rows), watch)


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


def _target(cells: Any, classes: tuple[str, ...], config: TrainingConfig) -> Any:
    if not classes:
        return typed(cells.to_frame(), [Field(config.target, "float")])[config.target].to_numpy()
    numbers = {name: number for number, name in enumerate(classes)}
    unknown = sorted(set(cells) - set(numbers))
    if unknown:
        raise ContractError(
            f"`{config.target}` is `{unknown[0]}` in the test rows, and never in those to learn from",
            where="channel test",
        )
    return need("numpy").array([numbers[cell] for cell in cells])


def _files(job: Job, channels: tuple[str, ...]) -> list[Path]:
    for name in channels:
        if name in job.channels:
            return job.files(name)
    given = ", ".join(sorted(job.channels)) or "none"
    raise ContractError(
        "there is no channel `train` to learn from",
        where="inputdataconfig.json",
        next_step=f"Give it when the job is created; channels are: {given}.",
    )


def _check_same(frame: Any, names: list[str]) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise ContractError(f"the test rows have no column `{missing[0]}`", where="channel test")
