"""A config against the files that it names, before anything runs: the header, and the values of the target."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from seaproof.contract.training_config.columns import (
    check_columns,
    check_target,
    features_of,
    is_data,
    listed,
    named,
    task_of,
)
from seaproof.contract.training_config.meaning import TrainingConfig
from seaproof.contract.training_config.names import did_you_mean
from seaproof.contract.training_config.reading import Problem
from seaproof.training_file import parquet
from seaproof.training_file.text import NoText, opened

_QUOTE = "A quotation mark may be open there: write one inside of a quoted cell as two."
_LONGEST = 1 << 24
"""Characters of a cell; a longer one is what an open quotation mark makes of a file."""
Objects = Callable[[str], "list[Path] | None"]
"""The files that an s3:// address stands for here, in order; None where nobody can tell before the job."""


@dataclass
class Found:
    """What the training file looks like."""

    files: list[Path] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    target: list[str] = field(default_factory=list)
    """The target's values, row by row, those that are missing left out."""
    rows: int = 0
    groups: set[str] = field(default_factory=set)
    """The different values of the column to split by."""


def look(config: TrainingConfig, folder: Path, objects: Objects = lambda uri: None) -> tuple[Found, list[Problem]]:
    """What lies where the config says, and what does not fit; paths count from `folder`.

    Data that comes as a channel, that lies in an S3 elsewhere, or in Parquet files where there is no pyarrow, is
    looked at by the job itself.
    """
    problems: list[Problem] = []
    files: dict[str, list[Path] | None] = {}
    for key, given in (("train", config.data.train), ("test", config.data.test)):
        if given:
            files[key] = objects(given) if given.startswith("s3://") else _files(folder / given)
            if files[key] == []:
                problems.append(_nothing(key, given, folder))
    train, test = files.get("train"), files.get("test")
    if problems or not train or not _can_be_read(train):
        return Found(train or []), problems
    found, problems = _look_at(config, train)
    if not problems and test and _can_be_read(test):
        problems = _check_test(config, test[0], found)
    return found, problems


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(inside for inside in path.rglob("*") if inside.is_file() and is_data(inside))
    return [path] if path.is_file() else []


def _nothing(key: str, given: str, folder: Path) -> Problem:
    """Why no file is found."""
    if given.startswith("s3://"):
        what, hint = f"nothing lies at `{given}`", "Put it there: aws s3 cp FILE s3://..., or name a file here."
        return Problem(("data", key), what, hint)
    path = folder / given
    if path.is_dir():
        return Problem(("data", key), f"the folder `{given}` is empty", "Put a CSV file there.")
    if path.exists():
        hint = "Name a file, or a folder of files: the rows are read more than once."
        return Problem(("data", key), f"`{given}` is neither a file nor a folder", hint)
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = did_you_mean(path.name, beside) or f"Paths count from {folder}."
    return Problem(("data", key), f"there is no file or folder `{given}`", hint)


def _can_be_read(files: list[Path]) -> bool:
    return not any(map(parquet.is_parquet, files)) or parquet.reader() is not None


def _look_at(config: TrainingConfig, files: list[Path]) -> tuple[Found, list[Problem]]:
    train = ("data", "train")
    found = Found(files)
    for file in files:
        try:
            problems = _add(config, file, found)
        except NoText as error:
            return found, [Problem(train, error.what, error.next_step)]
        except csv.Error as error:
            return found, [Problem(train, f"{file.name} is no CSV: {error}", _QUOTE)]
        except (OSError, EOFError, ValueError, zlib.error) as error:  # as pyarrow and the decompressors say it
            return found, [Problem(train, f"{file.name} cannot be read: {error}")]
        if problems:
            return found, problems
    if not found.rows:
        return found, [Problem(train, f"{files[0].name} has a header and no rows")]
    if config.split.by == config.target:
        return found, [Problem(("split", "by"), f"the rows cannot be split by the target `{config.target}`")]
    return found, [*check_target(config, found.target), *_check_groups(config, found)]


def _check_groups(config: TrainingConfig, found: Found) -> list[Problem]:
    """The values to split by that no row has."""
    known = sorted(found.groups)
    return [
        Problem(
            ("split", "test_values", place),
            f"no row has `{value}` in `{config.split.by}`",
            did_you_mean(value, known) or f"Its values are {listed(known)}.",
        )
        for place, value in enumerate(config.split.test_values)
        if config.split.by and value not in found.groups
    ]


def _check_test(config: TrainingConfig, path: Path, found: Found) -> list[Problem]:
    """The columns that a file of rows to measure on lacks."""
    if parquet.is_parquet(path):
        header = parquet.names_of(path)
    elif config.data.header:
        try:
            header = named(next(_rows(path, config.data.separator), []))
        except NoText as error:
            return [Problem(("data", "test"), error.what, error.next_step)]
    else:
        return []
    missing = [name for name in (config.target, *features_of(config, found.columns)) if name not in header]
    if not missing:
        return []
    what = f"{path.name} has no column `{missing[0]}`"
    return [Problem(("data", "test"), what, "It should have the columns of the training file.")]


def _add(config: TrainingConfig, file: Path, found: Found) -> list[Problem]:
    """Go through one file, collecting its rows' targets; what is wrong with it."""
    if parquet.is_parquet(file):
        return _add_parquet(config, file, found)
    train = ("data", "train")
    lines = _rows(file, config.data.separator)
    first = next(lines, None)
    if first is None:
        return [Problem(train, f"{file.name} is empty", "It should hold a header and rows.")]
    columns, problems = _columns(config, first, file)
    if problems:
        return problems
    if problems := _check_same(columns, file, found):
        return problems
    place = columns.index(config.target)
    group = columns.index(config.split.by) if config.split.by else None
    missing = set(config.data.missing)
    for number, row in enumerate(lines if config.data.header else chain([first], lines), 1):
        if len(row) != len(columns):
            what = f"{file.name}, row {number}: it has {len(row)} cells, and there are {len(columns)} columns"
            hint = _QUOTE if any("\n" in cell for cell in row) else "Correct the row, or `data.separator`."
            return [Problem(train, what, hint)]
        found.rows += 1
        if group is not None:
            found.groups.add(row[group].strip())
        if row[place].strip() not in missing:
            found.target.append(row[place].strip())
    return []


def _add_parquet(config: TrainingConfig, file: Path, found: Found) -> list[Problem]:
    """The same of a file that has types: names from its end, and of the cells only those of two columns."""
    columns = parquet.names_of(file)
    problems = check_columns(config, columns) or _check_same(columns, file, found)
    if problems:
        return problems
    for target, group in parquet.cells_of(file, [config.target, config.split.by or config.target]):
        found.rows += 1
        if config.split.by and group is not None:
            found.groups.add(group)
        if target is not None:
            found.target.append(target)
    return []


def _check_same(columns: list[str], file: Path, found: Found) -> list[Problem]:
    """Whether a further file has the columns of the first; those are put down."""
    if found.columns and set(columns) != set(found.columns):
        other = f"{file.name} has other columns than {found.files[0].name}"
        return [Problem(("data", "train"), other, "Files of one folder are one table; give them the same columns.")]
    found.columns[:] = found.columns or columns
    return []


def _columns(config: TrainingConfig, first: list[str], file: Path) -> tuple[list[str], list[Problem]]:
    """The names of the columns, and what the config says otherwise."""
    if config.data.header:
        columns = named(first)
    else:
        columns = list(config.data.columns) or [str(number) for number in range(len(first))]
        if len(columns) != len(first):
            what = f"`columns` has {len(columns)} names, and {file.name} has {len(first)} columns"
            return columns, [Problem(("data", "columns"), what)]
    problems = check_columns(config, columns)
    if problems and len(columns) == 1:
        other = next((char for char in ";\t|," if char in first[0]), "")
        if other:
            what = f"{file.name} has one column only, with {other!r} in its name"
            return columns, [Problem(("data",), what, f"Say `separator: {other!r}` below `data`.")]
    return columns, problems


def _rows(file: Path, separator: str) -> Iterator[list[str]]:
    """The rows of a CSV file; those that are empty are passed over, as everywhere."""
    csv.field_size_limit(_LONGEST)
    with opened(file) as lines:
        yield from (row for row in csv.reader(lines, delimiter=separator) if row)


def decided_task(config: TrainingConfig, found: Found) -> str:
    """classification or regression, as far as it is known here; empty where only the job can tell."""
    return config.task or (task_of(config, found.target) if found.target else "")
