"""A table with typed columns: what a body of rows becomes when it is not simply a matrix of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from seaproof.serving.codecs.libraries import library

Column = Any
"""A list, or a one-dimensional ndarray: numbers as float64 or int64, text as str with None where it is missing."""


class Table:
    """Columns of equal length, with or without names.

    Numeric columns are ndarrays (lists where the image has no numpy), int64 where every cell is a whole number and
    float64 with NaN for what is missing otherwise. Text columns are lists of str, None for what is missing.
    """

    __slots__ = ("columns", "names")

    def __init__(self, columns: Sequence[Column], names: Sequence[str] | None = None) -> None:
        lengths = {len(column) for column in columns}
        if len(lengths) > 1:
            raise ValueError(f"columns of different lengths: {sorted(lengths)}")
        if names is not None and len(names) != len(columns):
            raise ValueError(f"{len(names)} names for {len(columns)} columns")
        self.columns: list[Column] = list(columns)
        self.names: list[str] | None = None if names is None else list(names)

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self), len(self.columns)

    def __repr__(self) -> str:
        return f"Table({len(self)} rows, columns {self.names or len(self.columns)})"

    def __eq__(self, other: object) -> bool:
        """Equal names and cells; a NaN equals a NaN, as one missing cell another."""
        if not isinstance(other, Table):
            return NotImplemented
        return self.names == other.names and repr(self.lists()) == repr(other.lists())

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, rows: slice) -> Table:
        """Some of the rows, as a table."""
        return Table([column[rows] for column in self.columns], self.names)

    def column(self, name: str | int) -> Column:
        """One column, by name or by number from 0; KeyError says which there are."""
        if isinstance(name, int):
            return self.columns[name]
        if self.names is None or name not in self.names:
            raise KeyError(f"no column {name!r}; there are {self.names or len(self.columns)}")
        return self.columns[self.names.index(name)]

    def lists(self) -> list[list[Any]]:
        """The columns as plain Python values."""
        return [column if isinstance(column, list) else column.tolist() for column in self.columns]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The rows as tuples of plain Python values."""
        return zip(*self.lists(), strict=True)

    def records(self) -> list[Any]:
        """The rows as dictionaries by column name, or as lists where columns have no names."""
        if self.names is None:
            return [list(row) for row in self.rows()]
        return [dict(zip(self.names, row, strict=True)) for row in self.rows()]

    def numpy(self) -> Any:
        """A 2-D ndarray, rows by columns: float64 where every column is numeric, object otherwise."""
        np = library("numpy")
        if np is None:
            raise RuntimeError("Table.numpy() needs numpy in the image")
        if all(isinstance(column, np.ndarray) and column.dtype.kind in "iufb" for column in self.columns):
            array = np.empty(self.shape, np.float64)
        else:
            array = np.empty(self.shape, object)
        for number, column in enumerate(self.columns):
            array[:, number] = column
        return array

    def to_pandas(self) -> Any:
        """A pandas DataFrame with these columns; RuntimeError where the image has no pandas."""
        pandas = library("pandas")
        if pandas is None:
            raise RuntimeError("Table.to_pandas() needs pandas in the image")
        frame = pandas.DataFrame(dict(enumerate(self.columns)))
        if self.names is not None:
            frame.columns = self.names
        return frame


def concatenate(tables: Sequence[Table]) -> Table:
    """The rows of all, in order; ValueError where names or the number of columns differ.

    A column that is numeric in some tables and text in others is text in the result.
    """
    first = tables[0]
    if any(table.names != first.names or len(table.columns) != len(first.columns) for table in tables):
        raise ValueError("tables of different columns")
    return Table([_join([t.columns[i] for t in tables]) for i in range(len(first.columns))], first.names)


def _join(columns: list[Column]) -> Column:
    np = library("numpy")
    if np is not None and all(isinstance(column, np.ndarray) for column in columns):
        return np.concatenate(columns)
    joined: list[Any] = []
    for column in columns:
        joined.extend(column if isinstance(column, list) else column.tolist())
    return joined
