"""ONNX: any graph that takes tables, be it one tensor of all columns or several of some each, by onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from seaproof.errors import ContractError, RequestError
from seaproof.formats.identity import completed, numbered, unnamed
from seaproof.formats.model import Options, Rows, threads
from seaproof.formats.schema import Field, Schema, Type

_TYPES: dict[str, tuple[Type, str]] = {
    "tensor(float)": ("float", "float32"),
    "tensor(float16)": ("float", "float16"),
    "tensor(double)": ("float", "float64"),
    "tensor(int64)": ("int", "int64"),
    "tensor(int32)": ("int", "int32"),
    "tensor(bool)": ("bool", "bool"),
    "tensor(string)": ("str", "object"),
}
"""Type of a graph's input: of the column, and of the array."""


def load(path: Path, options: Options) -> Onnx:
    """Load a graph. ContractError where it takes no tables."""
    wanted = onnxruntime.SessionOptions()
    wanted.log_severity_level = 3
    # Its own default is a thread for each CPU in every worker, and they spin while they wait for work.
    wanted.intra_op_num_threads = threads()
    wanted.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), wanted, providers=onnxruntime.get_available_providers())
    return Onnx(session, completed(schema_of(session, path), path))


def schema_of(session: Any, path: Path) -> Schema:
    """Columns: the inputs by name, or as many without a name as the one tensor is wide."""
    inputs = session.get_inputs()
    for one in inputs:
        if one.type not in _TYPES or len(one.shape) > 2:
            raise ContractError(
                f"its input {one.name} is {one.type} of shape {one.shape}, and no table",
                where=str(path),
                next_step="Serve it with an inference.py, whose input_fn makes what the graph takes.",
            )
    if len(inputs) == 1 and _width(inputs[0]) != 1:
        kind = _TYPES[inputs[0].type][0]
        given = tuple(Field(field.name, kind) for field in unnamed(_width(inputs[0])))
    else:
        given = tuple(field for one in inputs for field in _fields(one, path))
    # What comes out is known when something has come out: names and widths of graphs are often left open.
    return Schema("", given, ())


def _fields(one: Any, path: Path) -> tuple[Field, ...]:
    """The columns of one of several inputs."""
    kind, width = _TYPES[one.type][0], _width(one)
    if not width:
        raise ContractError(
            f"its input {one.name} is of shape {one.shape}, which does not say how many columns it takes",
            where=str(path),
            next_step="Export the graph with the number of columns in the shape.",
        )
    return (Field(one.name, kind),) if width == 1 else tuple(replace(f, type=kind) for f in numbered(one.name, width))


def _width(one: Any) -> int:
    width = one.shape[1] if len(one.shape) == 2 else 1
    return width if isinstance(width, int) else 0


class Onnx:
    """One loaded graph."""

    explain = None

    def __init__(self, session: Any, schema: Schema) -> None:
        self._session = session
        self._inputs = session.get_inputs()
        self._first = [session.get_outputs()[0].name]
        self._one = len(self._inputs) == 1 and len(schema.input) != 1
        # Graphs are often exported for one row at a time, or for so many.
        fixed = [one.shape[0] for one in self._inputs if one.shape and isinstance(one.shape[0], int)]
        self._at_once = fixed[0] if fixed and fixed[0] > 0 else 0
        self.schema = schema
        if schema.input:
            outputs, classes = _described(self._run(None, _sample(schema)), session.get_outputs())
            named = schema.output if len(schema.output) == len(outputs) else outputs
            self.schema = Schema(schema.id, schema.input, named, schema.target, schema.classes or classes)

    def predict(self, rows: Rows) -> Any:
        """The first output of the graph."""
        first = self._run(self._first, rows)[0]
        return first[:, 0] if getattr(first, "ndim", 1) == 2 and first.shape[1] == 1 else first

    def score(self, rows: Rows) -> list[Any]:
        """Every output, column by column."""
        return _columns(self._run(None, rows))

    def _run(self, names: list[str] | None, rows: Rows) -> list[Any]:
        feed = self._feed(rows)
        if not self._at_once:
            found: list[Any] = self._session.run(names, feed)
            return found
        count = len(next(iter(feed.values())))
        # The last rows are few; they are made as many as the graph takes, and what it says of these is left out.
        feed = {
            name: np.concatenate([cells, cells[:1].repeat(-count % self._at_once, 0)]) for name, cells in feed.items()
        }
        parts = [
            self._session.run(names, {name: cells[start : start + self._at_once] for name, cells in feed.items()})
            for start in range(0, count, self._at_once)
        ]
        return [_joined(results)[:count] for results in zip(*parts, strict=True)]

    def _feed(self, rows: Rows) -> dict[str, Any]:
        if self._one:
            only = self._inputs[0]
            kind = _TYPES[only.type][1]
            whole = rows if isinstance(rows, np.ndarray) else np.array([_cells(one) for one in rows], object).T
            if kind.startswith("int"):
                _check_none_missing(whole, only.name)
            return {only.name: np.ascontiguousarray(whole, kind)}
        columns = iter(rows.T if isinstance(rows, np.ndarray) else rows)
        feed = {}
        for one in self._inputs:
            cells = [_as(next(columns), one) for _ in range(_width(one))]
            feed[one.name] = np.column_stack(cells) if len(one.shape) == 2 else cells[0]
        return feed


def _joined(parts: Sequence[Any]) -> Any:
    """One output of all calls: arrays, or lists of a map for each row."""
    return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else list(chain.from_iterable(parts))


def _as(column: Any, one: Any) -> Any:
    kind = _TYPES[one.type][1]
    if kind == "object":
        return np.array(_cells(column), object)
    numbers = np.asarray(column)
    if kind.startswith("int"):
        _check_none_missing(numbers, one.name)
    return numbers.astype(kind)


def _check_none_missing(numbers: Any, name: str) -> None:
    """RequestError 400 where a cell is missing: a tensor of whole numbers has no place for one."""
    missing = np.flatnonzero(np.isnan(numbers).any(axis=tuple(range(1, numbers.ndim))))
    if len(missing):
        raise RequestError(
            400,
            "a cell is empty, and the graph takes whole numbers there",
            where=f"row {missing[0] + 1}, input {name}",
            next_step="Send a number.",
        )


def _cells(column: Any) -> list[Any]:
    """Text without None, for which a tensor of strings has no place: it is an empty text there."""
    return ["" if cell is None else cell for cell in column]


def _sample(schema: Schema) -> Rows:
    if all(field.type != "str" for field in schema.input):
        return np.zeros((1, len(schema.input)))
    return [[""] if field.type == "str" else np.zeros(1) for field in schema.input]


def _described(results: list[Any], outputs: list[Any]) -> tuple[tuple[Field, ...], tuple[str, ...]]:
    """The columns that these results have; and the labels, where chances come with them."""
    fields: list[Field] = []
    classes: tuple[str, ...] = ()
    for result, output in zip(results, outputs, strict=True):
        if isinstance(result, list):  # a map of label to chance for each row
            classes = tuple(map(str, result[0]))
            fields += [Field(f"{output.name}_{label}", "float") for label in classes]
            continue
        kind: Type = {"i": "int", "u": "int", "b": "bool", "f": "float"}.get(result.dtype.kind, "str")  # type: ignore[assignment]
        width = result.shape[1] if result.ndim == 2 else 1
        names = [output.name] if width == 1 else [field.name for field in numbered(output.name, width)]
        fields += [Field(name, kind) for name in names]
    return tuple(fields), classes


def _columns(results: list[Any]) -> list[Any]:
    columns: list[Any] = []
    for result in results:
        if isinstance(result, list):
            columns += [[row[label] for row in result] for label in result[0]]
        else:
            columns += [result] if result.ndim == 1 else list(result.T)
    return columns
