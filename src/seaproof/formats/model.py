"""The seam between a saved model and who serves it: a format gives a `Model`, and says what may be done with it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from seaproof.contract.environ import variable
from seaproof.errors import ContractError
from seaproof.formats.schema import Schema

Rows = Any
"""What a model is given. Where every column of its schema holds numbers: a float64 array, rows by columns, NaN where
a value is missing. Else a list of columns in the order of the schema: float64 arrays for numbers, lists of str for
text, with None where a value is missing. A model without an input schema gets what the caller sent, decoded."""

Column = Any
"""One value for each row: a one-dimensional array, or a list."""


@dataclass(frozen=True)
class Contributions:
    """How much each column moved the prediction of each row."""

    names: tuple[str, ...]
    """The columns, then `bias`, which is what is predicted of an average row."""
    groups: tuple[str, ...]
    """The classes, where each has contributions of its own; else empty."""
    values: Any
    """Rows by names; rows by groups by names where there are groups."""


class Model(Protocol):
    """One loaded model."""

    schema: Schema

    def predict(self, rows: Rows) -> Any:
        """What the library's own `predict` returns: one entry for each row, in order."""

    def score(self, rows: Rows) -> list[Column]:
        """All that the model says: one column for each output of the schema."""

    explain: Callable[[Rows], Contributions] | None
    """Contributions of the columns; None where the model has none."""


@dataclass(frozen=True)
class Options:
    """What the container was told about loading."""

    no_pickle: bool = False
    trusted_types: tuple[str, ...] = ()
    """Types outside of the known libraries that a skops file may bring."""
    jar: str = ""
    """The Java runtime of a MOJO."""
    license_key: str = ""
    """Of the Driverless AI runtime."""
    warn: Callable[[str], None] = lambda text: None
    """Where a warning goes."""


@dataclass(frozen=True)
class Format:
    """One format of saved models."""

    name: str
    """As a person calls it: `CatBoost`."""
    files: str
    """What its files look like, for messages: `*.cbm`."""
    is_one: Callable[[Path], bool]
    """Whether this file is a model of this format, by its name and its first bytes; imports nothing."""
    load: Callable[[Path, Options], Model]
    """Load it. ContractError for what cannot be used; what the library raises passes through."""
    libraries: tuple[tuple[str, str], ...] = ()
    """What it needs: module, and the package that brings it."""
    load_after_fork: bool = False
    """The library keeps threads, which do not survive a fork: each worker loads the model for itself."""
    often: tuple[str, ...] = ()
    """Further packages that most of its models need."""
    pickle: bool = False
    """Loading it runs whatever code is in the file."""
    debian: tuple[str, ...] = ()
    """Debian packages that its library needs and a slim image lacks."""


class Refused(ContractError):
    """A model that is there and will not be loaded."""


def need(module: str, package: str, path: Path, why: str) -> None:
    """Import a module. ContractError names the package that brings it, where it is missing."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise ContractError(
            f"{path.name} is {why}, and the package {package} is not installed",
            where=str(path),
            next_step=f"Add {package} to what the image installs: RUN pip install {package}. "
            "Nothing is installed when a container starts.",
        ) from None


def starts(path: Path, size: int = 4096) -> bytes:
    """The first bytes of a file; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""


def threads() -> int:
    """How many threads a prediction may use, for libraries that do not read OMP_NUM_THREADS themselves: the worker's
    share of the CPUs."""
    told = variable("OMP_NUM_THREADS")
    return int(told) if told.isdigit() else 1


def is_numeric(schema: Schema) -> bool:
    """Whether all columns hold numbers, so that rows are a matrix."""
    return all(field.type != "str" for field in schema.input)


def side_by_side(columns: Sequence[Column]) -> Any:
    """Several outputs row by row, a single one as it is: an array where all are numbers, lists where texts are among
    them, in which numbers stay numbers."""
    import numpy as np

    if len(columns) == 1:
        return columns[0]
    arrays = [np.asarray(column) for column in columns]
    if all(array.dtype.kind in "fiub" for array in arrays):
        return np.column_stack(arrays)
    cells = [
        column if isinstance(column, list) else array.tolist() for column, array in zip(columns, arrays, strict=True)
    ]
    return list(map(list, zip(*cells, strict=True)))


def labels(classes: Sequence[str], chosen: Any) -> list[str]:
    """The names of the classes that these numbers count."""
    return [classes[int(number)] for number in chosen]
