"""Traces of multi-model endpoints as files: which models were asked for, and how large they are."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from seaproof.errors import SeaproofError

UNITS = {"": 1, "b": 1}
UNITS |= {f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", 1)}
UNITS |= {f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", 1)}
"""Unit, in lower case -> bytes."""


def read_trace(path: Path) -> tuple[list[str], dict[str, int] | None]:
    """The models asked for, oldest first, and their largest sizes in bytes; None where the trace has no sizes at all.

    SeaproofError names line and column of what cannot be read.
    """
    asked: list[str] = []
    sizes: dict[str, int] = {}
    for line, model, size in _rows(path, needs_bytes=False):
        asked.append(model)
        if size is not None:
            sizes[model] = max(size, sizes.get(model, 0))
        elif sizes and model not in sizes:
            raise _unreadable(path, line, f"model {model!r} has no bytes, and others have")
    if not asked:
        raise SeaproofError("the trace has no requests", where=str(path))
    if sizes and (lacking := [model for model in asked if model not in sizes]):
        raise SeaproofError(f"model {lacking[0]!r} has no bytes, and others have", where=str(path))
    return asked, sizes or None


def read_sizes(path: Path, asked: Sequence[str]) -> dict[str, int]:
    """The bytes of each model; SeaproofError where one that was asked for is missing."""
    sizes = {model: size for _, model, size in _rows(path, needs_bytes=True) if size is not None}
    lacking = next((model for model in asked if model not in sizes), None)
    if lacking is not None:
        raise SeaproofError(f"model {lacking!r} of the trace is missing", where=str(path))
    return sizes


def size_text(size: int) -> str:
    """Bytes for people: 1.5 GiB."""
    amount, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


def _rows(path: Path, *, needs_bytes: bool) -> Iterator[tuple[int, str, int | None]]:
    """Line, model and bytes of each row."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            for column in ("model", "bytes") if needs_bytes else ("model",):
                if column not in columns:
                    raise _unreadable(
                        path, 1, f"there is no column {column!r}, only: {', '.join(columns) or 'nothing'}"
                    )
            for row in reader:
                if not row["model"]:
                    raise _unreadable(path, reader.line_num, "there is no model")
                yield reader.line_num, row["model"], _bytes(path, reader.line_num, row.get("bytes"))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SeaproofError(f"it is no CSV in UTF-8: {error}", where=str(path)) from error


def _bytes(path: Path, line: int, text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise _unreadable(path, line, f"bytes is {text!r}, no whole number")
    return int(text)


def _unreadable(path: Path, line: int, what: str) -> SeaproofError:
    return SeaproofError(
        what, where=f"{path}, line {line}", next_step="Its first line names the columns: model, and bytes if known."
    )
