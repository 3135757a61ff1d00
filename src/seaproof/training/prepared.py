"""The rows of a job: read, typed, and told apart into those to learn from and those to measure on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seaproof.contract.training_config.columns import check_target, is_data, listed, task_of
from seaproof.contract.training_config.meaning import TrainingConfig
from seaproof.contract.training_config.names import CLASSIFICATION
from seaproof.errors import ContractError
from seaproof.formats.schema import Field
from seaproof.training.job import Job
from seaproof.training.libraries import need
from seaproof.training.results import say
from seaproof.training.splits import split
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
    useless = _useless(fields, shown.iloc[rows])
    columns = replace(
        columns, notes=(*columns.notes, *(f"`{name}` is left out: {why}" for name, why in useless.items()))
    )
    for note in columns.notes:
        say(note)
    fields = tuple(field for field in fields if field.name not in useless)
    if not fields:
        raise ContractError("no column is left to learn from", where="config, features", next_step="Name others.")
    if config.positive_class and config.positive_class not in classes:
        raise ContractError(
            f"no row to learn from has `{config.positive_class}` in `{config.target}`", where="config, split"
        )
    positive = classes.index(config.positive_class) if config.positive_class else len(classes) - 1
    return Prepared(shown, target, Columns(fields, columns.notes), classes, positive, rows, test, groups, frame)


def _useless(fields: Sequence[Field], learned: Any) -> dict[str, str]:
    """Columns of which there is nothing to learn in the rows to learn from, and why."""
    empty = {name for name, cells in learned.items() if cells.isna().all()}
    single = {field.name for field in fields if field.type == "str" and len(field.categories) < 2}
    return {
        field.name: "it is empty in every row to learn from" if field.name in empty else "it has one value only"
        for field in fields
        if field.name in empty | single
    }


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
            found = job.files(name)
            return [file for file in found if is_data(file)] or found
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
