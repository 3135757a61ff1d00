"""What a Parquet file holds, as far as a config asks, by pyarrow where that is installed beside the tool."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

SUFFIXES = (".parquet", ".pq")
_INDEX = re.compile(r"__index_level_\d+__")
"""What pandas calls the column in which it keeps its row numbers."""


def is_parquet(file: Path) -> bool:
    """By the end of its name."""
    return file.suffix.lower() in SUFFIXES


def reader() -> Any:
    """pyarrow's module; None where it is not installed, so that only the job can look."""
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError:
        return None


def names_of(file: Path) -> list[str]:
    """The columns. ValueError where it is no Parquet file."""
    return [name for name in reader().read_schema(file).names if not _INDEX.fullmatch(name)]


def cells_of(file: Path, names: list[str]) -> Iterator[list[str | None]]:
    """Some columns, row by row, as the text that a CSV file would hold; None where a cell is missing."""
    table = reader().read_table(file, columns=list(dict.fromkeys(names)))
    columns: Iterable[list[Any]] = (table.column(name).to_pylist() for name in names)
    for row in zip(*columns, strict=True):
        yield [_text(cell) for cell in row]


def _text(cell: Any) -> str | None:
    if cell is None or cell != cell:
        return None
    if isinstance(cell, bool):
        return str(cell).lower()
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
