"""Trains by a config: from the channel's files to the model with its schema, the metrics and the report.

model/          the model in its library's own format, schema.json
output/data/    metrics.json, report.html
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seaproof.contract.training_config.columns import check_target, listed, task_of
from seaproof.contract.training_config.flat import unflatten
from seaproof.contract.training_config.meaning import BALANCED, TrainingConfig, read_config
from seaproof.contract.training_config.metric_lines import FOLDS, TRAIN
from seaproof.contract.training_config.names import CLASSIFICATION
from seaproof.errors import ContractError
from seaproof.formats.schema import Field
from seaproof.training.algorithms import Fitted, Part, Setup, fit, watches
from seaproof.training.importance import importance
from seaproof.training.job import Job
from seaproof.training.libraries import need
from seaproof.training.measures.scores import Outcome, measure
from seaproof.training.results import REPORT_FILE, save_model, say, say_metrics, versions, write_metrics
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
    _report(job, config, prepared, setup, fitted, metrics, test_outcome or train_outcome)
    write_metrics(job.output_data_dir, metrics, config, setup, prepared_rows(prepared))
    say(f"done after {time.monotonic() - started:.1f} s")


def _report(
    job: Job,
    config: TrainingConfig,
    prepared: Prepared,
    setup: Setup,
    fitted: Fitted,
    metrics: dict[str, float],
    measured: Outcome,
) -> None:
    """Write report.html."""
    from seaproof.training.report.columns import look_at
    from seaproof.training.report.page import Told, page

    learned = prepared.frame.iloc[prepared.train]
    rows = prepared.test if len(prepared.test) else prepared.train
    target = prepared.raw[[config.target]].iloc[prepared.train]
    field = Field(config.target, "str" if setup.classes else "float")
    told = Told(
        target=config.target,
        algorithm=config.algorithm,
        config=unflatten(job.raw_hyperparameters),
        metrics=metrics,
        measured=measured,
        on_test=len(prepared.test) > 0,
        rows=prepared_rows(prepared),
        importance=importance(fitted, prepared.frame.iloc[rows], measured, config.seed),
        target_look=look_at(field, typed(target, [field])[config.target]),
        looks=[look_at(one, learned[one.name]) for one in setup.fields],
        notes=prepared.columns.notes,
        versions=versions(setup),
    )
    (job.output_data_dir / REPORT_FILE).write_text(page(told), encoding="utf-8")
    say(f"report: {REPORT_FILE}, in the job's output")


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
    rows = numpy.arange(len(frame))
    if apart is not None:
        frame = need("pandas").concat([frame, apart], ignore_index=True)
    labels = frame[config.target].to_numpy() if task == CLASSIFICATION else None
    groups = frame[config.split.by].to_numpy() if config.split.by else None
    test = numpy.arange(len(rows), len(frame))
    if apart is None and (config.split.test or config.split.test_values):
        kept = split(rows, config.split.test, config.split, config.seed, labels, groups)
        rows, test = kept.train, kept.kept
        say(f"{len(test):,} rows are kept to measure on: {kept.words}")
    classes = tuple(sorted(set(labels[rows]))) if labels is not None else ()
    if classes:
        test = _of_known_classes(test, labels, classes, config)
    target = _target(frame[config.target], classes, config)
    shown = typed(frame, columns.fields)
    fields = with_categories(columns.fields, shown.iloc[rows])
    single = [field.name for field in fields if field.type == "str" and len(field.categories) < 2]
    columns = replace(
        columns, notes=(*columns.notes, *(f"`{name}` is left out: it has one value only" for name in single))
    )
    for note in columns.notes:
        say(note)
    fields = tuple(field for field in fields if field.name not in single)
    if config.positive_class and config.positive_class not in classes:
        raise ContractError(
            f"no row to learn from has `{config.positive_class}` in `{config.target}`", where="config, split"
        )
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


def _target(cells: Any, classes: tuple[str, ...], config: TrainingConfig) -> Any:
    if not classes:
        return typed(cells.to_frame(), [Field(config.target, "float")])[config.target].to_numpy()
    numbers = {name: number for number, name in enumerate(classes)}
    return need("numpy").array([numbers.get(cell, -1) for cell in cells])


def _of_known_classes(test: Any, labels: Any, classes: tuple[str, ...], config: TrainingConfig) -> Any:
    """The rows to measure on whose class is among those learned; the others can only be wrong, and are told."""
    known = need("numpy").isin(labels[test], need("numpy").array(classes, dtype=object))
    unknown = sorted(set(labels[test][~known]))
    if unknown:
        say(
            f"{int((~known).sum()):,} rows kept to measure on are left out: `{config.target}` is {listed(unknown)} in "
            "them, and in no row to learn from"
        )
    return test[known]


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
