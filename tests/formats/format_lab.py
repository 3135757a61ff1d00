"""A saved model as its own library wrote it, and the container that serves it."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))

from container_process import SOURCE, Container, Reply, soon

from seaproof.cli.pack import command as pack
from seaproof.control.archives import unpack
from seaproof.drivers.ports import free_port

__all__ = ["SOURCE", "Container", "Reply", "free_port", "soon"]  # and what is defined here

INCOME = Path(__file__).parents[2] / "examples" / "income" / "data"
CSV, JSON = "text/csv", "application/json"


@dataclass(frozen=True)
class Made:
    """What a library trained and saved, and what it says itself of some rows."""

    columns: Mapping[str, Sequence[Any]]
    """The rows, column by column, as a caller has them; None where a value is missing."""
    predicted: Sequence[Any]
    """What the library's own predict says of each row."""
    scores: Mapping[str, Sequence[Any]]
    """All outputs, by the names that the schema is to have."""
    types: Sequence[str]
    """Of the columns, as /model/schema is to say them."""
    contributions: Any = None
    """Rows by columns and bias, or rows by classes by columns and bias."""
    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


Recipe = Callable[[Path], Made]


@contextmanager
def served(root: Path, python: str = sys.executable, **environment: str) -> Iterator[Container]:
    """A container that serves what lies in `root/ml/model`, ready."""
    container = Container(root, free_port())
    container.restart(**environment) if python == sys.executable else _start(container, python, environment)
    try:
        soon(container.answers, 60)
        yield container
    finally:
        assert container.process is not None
        container.process.kill()
        container.process.wait()


def _start(container: Container, python: str, environment: Mapping[str, str]) -> None:
    own, sys.executable = sys.executable, python
    try:
        container.restart(**environment)
    finally:
        sys.executable = own


def model_folder(root: Path) -> Path:
    """The folder in which the container finds its model."""
    folder = root / "ml" / "model"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def packed(trained: Path, root: Path) -> None:
    """What a library saved, as hosting gives it to the container: through `seaproof pack`, and unpacked where the
    container of `root` finds its model."""
    archive = root / "model.tar.gz"
    pack.main([str(trained), "-o", str(archive)], standalone_mode=False)
    unpack(archive, model_folder(root))


def csv_text(columns: Mapping[str, Sequence[Any]], names: Sequence[str] = (), *, header: bool = True) -> str:
    """The rows as CSV, its columns in the order given."""
    names = list(names or columns)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if header:
        writer.writerow(names)
    cells = zip(*(columns[name] for name in names), strict=True)
    writer.writerows([["" if cell is None else cell for cell in row] for row in cells])
    return out.getvalue()


def records(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The rows as JSON records."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def table(columns: Mapping[str, Sequence[Any]], **more: Any) -> str:
    """The rows as a request of the scorer's."""
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    return json.dumps({"fields": list(columns), "rows": rows, **more})


def same(answered: Sequence[Any], expected: Sequence[Any]) -> bool:
    """Whether every value is the library's own: numbers to the last bit, labels to the letter."""
    if isinstance(expected, np.ndarray) and expected.dtype.kind == "f":
        # As numbers of the library's own width: a float32 is written as the shortest text that reads back as it.
        return np.array_equal(np.array(answered, dtype=object).astype(expected.dtype), expected, equal_nan=True)
    expected = expected.tolist() if isinstance(expected, np.ndarray) else list(expected)
    return len(answered) == len(expected) and all(map(_equal, answered, expected))


def _equal(one: Any, other: Any) -> bool:
    if isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(other, float):
        return (one is None and other != other) or (one is not None and float(one) == other)
    return str(one) == str(other)


def columns_of(reply: Reply) -> dict[str, list[Any]]:
    """The columns of an answer of the scorer's."""
    assert reply.status == 200, reply.body
    answer = reply.json
    return dict(zip(answer["fields"], map(list, zip(*answer["score"], strict=True)), strict=True))


def income(part: str = "held_out", rows: int | None = None) -> tuple[dict[str, list[Any]], list[str]]:
    """Census rows: numbers as int, text as str with None where it is missing; and the label of each."""
    with (INCOME / f"{part}.csv").open(newline="") as file:
        found = list(csv.DictReader(file))[:rows]
    numbers = ("age", "capital_gain", "capital_loss", "hours_per_week")
    names = [name for name in found[0] if name != "income"]
    columns: dict[str, list[Any]] = {
        name: [int(row[name]) if name in numbers else row[name] or None for row in found] for name in names
    }
    return columns, [row["income"] for row in found]
