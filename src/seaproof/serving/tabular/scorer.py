"""The scorer's requests: a flat row, or fields and rows; and their answers, in which every value is a text.

What it answers is what H2O's hosted scorers answer to the same requests, so that their callers go on as they are.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from seaproof.errors import RequestError
from seaproof.formats.model import Contributions, Model
from seaproof.formats.schema import Schema
from seaproof.http.message import Response
from seaproof.serving.codecs import Table
from seaproof.serving.replies import json_reply
from seaproof.serving.tabular.columns import column
from seaproof.serving.tabular.plain import LISTS, Reader

SCALARS = (str, int, float, bool, type(None))
SHAPLEY = "requestShapleyValueType"
"""What H2O's scorers are asked by for contributions: of the columns, or of what their pipelines made of these."""
ORIGINAL, TRANSFORMED, NONE = "ORIGINAL", "TRANSFORMED", "NONE"


@dataclass(frozen=True)
class Asked:
    """How one request wants its answer."""

    flat: bool = False
    included: tuple[str, ...] = ()
    """Names of the first columns of the answer."""
    values: tuple[tuple[str | None, ...], ...] = ()
    """Their cells, row by row."""
    named: bool = True
    """Whether the answer names its fields."""
    explained: Any = None
    """The rows, as the model takes them, whose contributions are wanted beside the scores."""


def refusal(detail: str, status: int = 400) -> RequestError:
    """An error as the scorer words it."""
    return RequestError(status, detail, where="request", body={"detail": detail})


def object_of(body: bytes) -> dict[str, Any] | None:
    """The JSON object that a body is, whatever its content type says; None where it is anything else."""
    if body[:1] != b"{" and not body.lstrip().startswith(b"{"):
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def is_plain(given: Mapping[str, Any], names: Sequence[str]) -> bool:
    """Whether a JSON object is one of rows under a key, as other servers take it, and none of the scorer's."""
    return any(isinstance(given.get(key), list) and key not in names for key in LISTS)


def read(given: Mapping[str, Any], reader: Reader) -> tuple[Table, Asked]:
    """The rows of a request, as a table with the schema's names, and how its answer is wanted. RequestError 400."""
    if not reader.fields:
        raise refusal("the model does not say which columns it takes; write schema.json beside it")
    tables = any(key in given and key not in reader.names for key in ("rows", "fields"))
    return _rows(given, reader) if tables else _flat(given, reader)


def _flat(given: Mapping[str, Any], reader: Reader) -> tuple[Table, Asked]:
    for name, cell in given.items():
        if cell is None:
            raise refusal(f"the field {name} is null")
        if not isinstance(cell, SCALARS):
            raise refusal(f"the field {name} is not a single value")
    _check_missing(list(given), reader)
    columns = [_column(field, [given[field.name]], 0) for field in reader.fields]
    return Table(columns, reader.names), Asked(flat=True)


def _rows(given: Mapping[str, Any], reader: Reader) -> tuple[Table, Asked]:
    rows, fields = given.get("rows"), given.get("fields")
    if not isinstance(rows, list) or not rows:
        raise refusal("no rows were given")
    if not isinstance(fields, list) or not fields:
        raise refusal("no fields were given")
    if not all(isinstance(name, str) for name in fields):
        raise refusal("the fields are not all texts")
    for number, row in enumerate(rows):
        if not isinstance(row, list):
            raise refusal(f"row {number} is not a list")
        if len(row) != len(fields):
            few = "too few" if len(row) < len(fields) else "too many"
            raise refusal(f"row {number} has {few} elements: expected {len(fields)}, actual {len(row)}")
        if not all(isinstance(cell, SCALARS) for cell in row):
            raise refusal(f"row {number} has an element that is not a single value")
    _check_missing(fields, reader)
    cells = list(zip(*rows, strict=True))
    places = {name: place for place, name in enumerate(fields)}
    table = Table([_column(field, list(cells[places[field.name]]), 0) for field in reader.fields], reader.names)
    asked = _asked(given, fields, cells, len(rows))
    return table, replace(asked, explained=reader.rows(table)) if shapley(given, NONE) == ORIGINAL else asked


def shapley(given: Mapping[str, Any], otherwise: str) -> str:
    """Which contributions a request asks for: of the columns, or none; refused are those that nobody here knows."""
    wanted = given.get(SHAPLEY) or otherwise
    if wanted == TRANSFORMED:
        raise refusal(f"{SHAPLEY} is to be {ORIGINAL}: of transformed features nothing is known", 501)
    if wanted not in (ORIGINAL, NONE):
        raise refusal(f"{SHAPLEY} is to be {ORIGINAL} or {NONE}")
    return str(wanted)


def _asked(given: Mapping[str, Any], fields: list[str], cells: list[Any], count: int) -> Asked:
    wanted = given.get("includeFieldsInOutput") or []
    if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
        raise refusal("includeFieldsInOutput is not a list of texts")
    id_field = given.get("idField") or ""
    if not isinstance(id_field, str):
        raise refusal("idField is not a text")
    unknown = [name for name in wanted if name not in fields and name != id_field]
    if unknown:
        raise refusal(f"includeFieldsInOutput names {', '.join(unknown)}, not among the fields")
    included = [name for name in fields if name in wanted]
    columns = [[text_of(cell) for cell in cells[fields.index(name)]] for name in included]
    if id_field in wanted and id_field not in fields:
        included.append(id_field)
        columns.append([str(uuid.uuid4()) for _ in range(count)])
    values = tuple(zip(*columns, strict=True)) if columns else ()
    return Asked(False, tuple(included), values, not given.get("noFieldNamesInOutput"))


def _check_missing(names: Sequence[str], reader: Reader) -> None:
    missing = reader.missing(names)
    if missing:
        raise refusal(
            f"missing model fields {', '.join(missing)}: expected [{', '.join(reader.names)}], "
            f"actual [{', '.join(names)}]"
        )


def _column(field: Any, cells: list[Any], first_row: int) -> Any:
    try:
        return column(field, cells, first_row)
    except RequestError as error:
        raise refusal(f"{error.where}: {error.what}") from None


def text_of(cell: Any) -> str | None:
    """One value of an answer: null stays null, a boolean is 1 or 0, everything else its shortest text."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, bool):
        return "1" if cell else "0"
    return str(cell)


def texts(cells: Any) -> list[str | None]:
    """A column of an answer; a float32 is the shortest text that reads back as the same float32."""
    dtype = getattr(cells, "dtype", None)
    if dtype is not None and dtype.kind == "f" and dtype.itemsize < 8:
        return [None if cell != cell else str(cell) for cell in cells]
    return [text_of(cell) for cell in (cells if isinstance(cells, list) else cells.tolist())]


def answer(model: Model, scores: Table, asked: Asked) -> Response:
    """The answer to one request, of what the model says of its rows."""
    columns = [texts(cells) for cells in scores.columns]
    names = list(scores.names or [])
    if asked.flat:
        return json_reply(200, {name: cells[0] for name, cells in zip(names, columns, strict=True)})
    rows = [list(row) for row in zip(*columns, strict=True)]
    if asked.values:
        rows = [[*before, *row] for before, row in zip(asked.values, rows, strict=True)]
    told: dict[str, Any] = {"id": model.schema.id}
    if asked.named:
        told["fields"] = [*asked.included, *names]
    told["score"] = rows
    if asked.explained is not None:
        told["featureShapleyContributions"] = explained(model, asked.explained)
    return json_reply(200, told)


def explained(model: Model, rows: Any) -> dict[str, Any]:
    """What each column did to each prediction, group by group; 501 where the model has no contributions.

    Newer scorers of H2O's call the groups `contributionGroups`, older ones `contributionByOutputGroup`; whoever reads
    either finds them.
    """
    if model.explain is None:
        raise refusal("this model has no contributions", 501)
    groups = _groups(model.schema, found := model.explain(rows))
    return {"features": list(found.names), "contributionGroups": groups, "contributionByOutputGroup": groups}


def _groups(schema: Schema, found: Contributions) -> list[dict[str, Any]]:
    groups = [found.values[:, place, :] for place in range(len(found.groups))] if found.groups else [found.values]
    # Of two classes it is the second whose contributions there are.
    names = found.groups or (schema.classes[-1] if schema.classes else schema.output[-1].name,)
    return [
        {"outputGroup": name, "contributions": [texts(row) for row in values]}
        for name, values in zip(names, groups, strict=True)
    ]
