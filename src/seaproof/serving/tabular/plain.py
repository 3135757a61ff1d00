"""Plain CSV and JSON (and whatever else the codecs read) as the columns that a model takes.

With names, in a header or as keys, columns may come in any order and with others between them; without names they
come in the order of the schema.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from seaproof.contract.http import MediaType
from seaproof.errors import RequestError
from seaproof.formats.schema import Schema
from seaproof.serving.codecs import Table, decode, numbers
from seaproof.serving.codecs.cells import reads_as_other
from seaproof.serving.codecs.libraries import library
from seaproof.serving.codecs.text import text_of, utf8
from seaproof.serving.tabular.columns import MISSING, column, matrix

CSV = "text/csv"
LISTS = ("instances", "inputs")
"""Keys under which other servers expect the rows of a JSON object."""

csv.field_size_limit(1 << 28)


class Reader:
    """Reads for one schema."""

    def __init__(self, schema: Schema) -> None:
        self.fields = fields = schema.input
        self._trained = list(schema.columns) if set(schema.columns) > {field.name for field in fields} else []
        self._missing = frozenset(schema.missing)
        self._separator = schema.separator
        texts = [text for text in schema.missing if text.strip().lower() not in MISSING and reads_as_other(text)]
        self._missing_numbers = list(map(float, texts))
        self.names = [field.name for field in fields]
        self.numeric = all(field.type != "str" for field in fields)

    def read(self, body: bytes, media: MediaType) -> Any:
        """The rows of a body: a float64 matrix where all columns hold numbers, else a `Table` without names."""
        if media.essence == CSV:
            return self._csv(body, media)
        return self.value(decode(body, media))

    def value(self, value: Any) -> Any:
        """The rows of a decoded body."""
        if isinstance(value, Mapping):
            key = next((key for key in LISTS if isinstance(value.get(key), list)), None)
            if key is None:
                return self.table(Table([[cell] for cell in value.values()], [str(name) for name in value]))
            value = value[key]
        if isinstance(value, Table):
            return self.table(value)
        if isinstance(value, bytes):
            raise RequestError(
                415,
                "bytes of no kind are no table",
                where="Content-Type",
                next_step="Send rows as text/csv or application/json; a JSON object is read whatever its type says.",
            )
        if hasattr(value, "ndim"):
            return self._array(value)
        if isinstance(value, list) and value:
            return self._list(value)
        raise RequestError(
            400, "there are no rows in the body", where="body", next_step="Send rows: [[1, 2], [3, 4]], or records."
        )

    def table(self, table: Table, first_row: int = 1) -> Any:
        """The rows of a table: by name where it has names, else by place."""
        if not len(table):
            raise RequestError(400, "there are no rows in the body", where="body", next_step="Send at least one.")
        names = table.names
        if names is None and len(table.columns) == len(self._trained):
            names = self._trained  # rows as they stand in the file that it was trained on
        columns = table.columns if names is None else self._named(names, table.columns)
        self._check_width(len(columns), 1)
        if self._missing:
            columns = [self._as_trained(cells) for cells in columns]
        return self.joined([column(field, cells, first_row) for field, cells in zip(self.fields, columns, strict=True)])

    def _as_trained(self, cells: Any) -> Any:
        """Texts as training had them: without blanks around them, None where they stood for nothing."""
        if not isinstance(cells, list):
            return self._without_missing(cells) if getattr(cells, "dtype", None) is not None else cells
        stripped = [cell.strip() if isinstance(cell, str) else cell for cell in cells]
        gone = self._missing.union(self._missing_numbers)
        return [None if cell in gone else cell for cell in stripped]

    def _without_missing(self, numbers: Any) -> Any:
        """Numbers as training had them: NaN for those that stood for nothing, such as -999."""
        np = library("numpy")
        if not self._missing_numbers or numbers.dtype.kind not in "fiu":
            return numbers
        return np.where(np.isin(numbers, self._missing_numbers), np.nan, numbers)

    def rows(self, table: Table) -> Any:
        """The rows of a table whose columns are of the schema's types, as a model takes them."""
        return self.joined(table.columns) if self.numeric else table.columns

    def joined(self, columns: list[Any]) -> Any:
        """Columns of the schema's types as rows."""
        if self.numeric:
            return library("numpy").column_stack(columns)
        return Table(columns)

    def checked(self, rows: Any) -> Any:
        """A matrix of numbers without names."""
        if rows.shape[1] == len(self._trained):
            rows = rows[:, [self._trained.index(name) for name in self.names]]
        self._check_width(rows.shape[1], 1)
        return matrix(self.fields, self._without_missing(rows))

    def missing(self, given: Sequence[str]) -> list[str]:
        """The columns that the model takes and that are not among these."""
        there = set(given)
        return [name for name in self.names if name not in there]

    def _csv(self, body: bytes, media: MediaType) -> Any:
        header = media.parameter("header").lower() if media.parameters else ""
        plain = utf8(body, media)
        if self._separator and self._separator.encode() in plain.partition(b"\n")[0]:
            # As the file that it was trained on has it.
            return self._cells(_columns(text_of(plain, MediaType(CSV)), self._separator), header)
        if self.numeric and header != "present":
            found = numbers.matrix(plain)
            if found is not None:
                return self.checked(found)
        if self.numeric and header != "absent":
            head, _, rest = plain.partition(b"\n")
            names = [cells[0] for cells in _columns(text_of(head, MediaType(CSV)))]
            found = numbers.matrix(rest) if names and rest.strip() and self._is_header(names, header) else None
            if found is not None and found.shape[1] == len(names):
                return self._pick(names, found)
        return self._cells(_columns(text_of(plain, MediaType(CSV))), header)

    def _cells(self, columns: list[list[str]], header: str) -> Any:
        if not columns:
            raise RequestError(400, "the body is empty", where="body", next_step="Send at least one row.")
        top = [cells[0] for cells in columns]
        if len(columns) == 1 < len(self.fields):
            other = next((char for char in ";\t|" if char in top[0]), "")
            if other:
                what = f"row 1 has one column, with {other!r} in it, and the model takes {len(self.fields)}"
                raise RequestError(400, what, where="row 1", next_step="Put commas between the cells.")
        if header != "absent" and self._is_header(top, header):
            return self.table(Table([cells[1:] for cells in columns], top), 2)
        return self.table(Table(columns), 1)

    def _pick(self, names: list[str], found: Any) -> Any:
        places = {name: place for place, name in enumerate(names)}
        self._check_missing(names)
        return matrix(self.fields, self._without_missing(found[:, [places[name] for name in self.names]]))

    def _is_header(self, cells: Sequence[str], header: str) -> bool:
        """Whether a first row is one of names: declared, or half of the model's columns are named in it, or it has
        text where only numbers could stand."""
        if header == "present" or 2 * len(set(cells) & set(self.names)) >= len(self.names):
            return True
        if self._trained:
            return False  # rows of another width than the model's are those of its training file
        if any(map(reads_as_other, cells)) or len(set(cells)) < len(cells) or not all(cells):
            return False
        return len(cells) != len(self.fields) or any(field.type != "str" for field in self.fields)

    def _array(self, array: Any) -> Any:
        if array.ndim == 1 and len(array) and (len(array) == len(self.fields) or len(self.fields) != 1):
            array = array.reshape(1, -1)
        if array.ndim == 1:
            array = array.reshape(-1, 1)
        if array.ndim != 2 or not len(array):
            raise RequestError(
                400, f"an array of shape {array.shape} is no table", where="body", next_step="Send rows by columns."
            )
        if self.numeric and array.dtype.kind in "fiub":
            return self.checked(array)
        return self.table(Table([array[:, place] for place in range(array.shape[1])]))

    def _list(self, rows: list[Any]) -> Any:
        if all(isinstance(row, Mapping) for row in rows):
            names = list(dict.fromkeys(name for row in rows for name in row))
            for number, row in enumerate(rows, 1):
                if self.missing(list(row)):
                    self._check_missing(list(row), f"row {number}")
            return self.table(Table([[row.get(name) for row in rows] for name in names], names))
        if not any(isinstance(row, (list, tuple, Mapping)) for row in rows):
            # One row; or a column of them, for a model of one column.
            rows = [[cell] for cell in rows] if len(self.fields) == 1 else [rows]
        for number, row in enumerate(rows, 1):
            if not isinstance(row, (list, tuple)):
                raise RequestError(
                    400, "neither a list nor an object", where=f"row {number}", next_step="Send rows all of one kind."
                )
            if not len(row) == len(rows[0]) == len(self._trained):
                self._check_width(len(row), number)
        return self.table(Table([list(cells) for cells in zip(*rows, strict=True)]))

    def _named(self, names: Sequence[str], columns: Sequence[Any]) -> list[Any]:
        self._check_missing(names)
        by_name = dict(zip(names, columns, strict=True))
        return [by_name[name] for name in self.names]

    def _check_missing(self, names: Sequence[str], where: str = "header") -> None:
        missing = self.missing(names)
        if missing:
            raise RequestError(
                400,
                f"the columns {', '.join(missing)} are missing"
                if missing[1:]
                else f"the column {missing[0]} is missing",
                where=where,
                next_step=f"The model takes {_listed(self.names)}, in any order; others may stand between them.",
            )

    def _check_width(self, width: int, row: int) -> None:
        if width != len(self.fields):
            raise RequestError(
                400,
                f"row {row} has {width} columns, and the model takes {len(self.fields)}",
                where=f"row {row}",
                next_step=f"Send {_listed(self.names)}, in this order; or with their names, in any.",
            )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names if len(names) <= 40 else [*names[:40], f"and {len(names) - 40} more"])


def _columns(text: str, separator: str = ",") -> list[list[str]]:
    """The columns of a CSV text, all of one length; RequestError 400 where it is none."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    width = plain.partition("\n")[0].count(separator) + 1
    if '"' not in plain and width > 1 and all(line.count(separator) == width - 1 for line in plain.split("\n")):
        cells = plain.replace("\n", separator).split(separator)
    else:
        rows = _rows(text, separator)
        width = len(rows[0]) if rows else 0
        cells = list(chain.from_iterable(rows))
    return [cells[place::width] for place in range(width)]


def _rows(text: str, separator: str) -> list[list[str]]:
    """The rows, cell by cell; lines without a visible character are left out."""
    try:
        found = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        rows = [row for row in found if row and (len(row) > 1 or row[0].strip())]
    except csv.Error as error:
        raise RequestError(
            400, f"not CSV: {error}", where="body", next_step='Write a quote inside a quoted cell as two: "5"" pipe".'
        ) from error
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise RequestError(
                400,
                f"row {number} has {len(row)} columns, and the first has {len(rows[0])}",
                where=f"row {number}",
                next_step="Give every row the same number of columns; quote cells that contain the separator.",
            )
    return rows
