"""What a tabular model takes and gives: `schema.json` in the model folder.

Written by who trained the model, read by who serves it. A format that knows more of its own model fills what this
file leaves open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from seaproof.errors import ContractError

FILE = "schema.json"

Type = Literal["float", "int", "str", "bool"]
TYPES: tuple[Type, ...] = get_args(Type)


@dataclass(frozen=True)
class Field:
    """One column."""

    name: str
    type: Type
    categories: tuple[str, ...] = ()
    """The values that training saw, where the column is one of categories; empty: any value."""


@dataclass(frozen=True)
class Schema:
    """The columns that a model takes, in the order in which it was trained on them, and those that it gives."""

    id: str
    """Names this very model; the same wherever it is served."""
    input: tuple[Field, ...]
    output: tuple[Field, ...]
    target: str = ""
    """The column that training predicted, where that is known."""
    classes: tuple[str, ...] = ()
    """The labels, in the order of the probabilities; empty for a regression."""
    columns: tuple[str, ...] = ()
    """The columns of the file that it was trained on, in their order, the target and those left out among them; empty
    where that is not known."""
    missing: tuple[str, ...] = ()
    """Texts that stood for a missing value in that file."""
    separator: str = ""
    """What stood between its cells, where that was no comma."""


def read_schema(model_dir: str | Path) -> Schema | None:
    """The schema of a model folder; None where it has none. ContractError names the file and the key that is wrong."""
    path = Path(model_dir) / FILE
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ContractError(f"the schema cannot be read: {error}", where=str(path)) from error
    if not isinstance(given, dict):
        raise ContractError("the schema is not a JSON object", where=str(path))
    return Schema(
        id=_text(given, "id", path),
        input=_fields(given, "input", path),
        output=_fields(given, "output", path),
        target=_text(given, "target", path),
        classes=_texts(given, "classes", path, "classes"),
        columns=_texts(given, "columns", path, "columns"),
        missing=_texts(given, "missing", path, "missing"),
        separator=_text(given, "separator", path),
    )


def write_schema(model_dir: str | Path, schema: Schema) -> None:
    """Write it beside the model, the same bytes for the same schema."""
    path = Path(model_dir) / FILE
    path.write_text(json.dumps(asdict(schema), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _text(table: Mapping[str, Any], key: str, path: Path, where: str = "") -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise ContractError(f"a text is expected, not {value!r}", where=f"{path}, {where or key}")
    return value


def _texts(table: Mapping[str, Any], key: str, path: Path, where: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ContractError("a list of texts is expected", where=f"{path}, {where}")
    return tuple(value)


def _fields(table: Mapping[str, Any], key: str, path: Path) -> tuple[Field, ...]:
    value = table.get(key, [])
    if not isinstance(value, list):
        raise ContractError("a list of fields is expected", where=f"{path}, {key}")
    return tuple(_field(item, path, f"{key}[{place}]") for place, item in enumerate(value))


def _field(item: Any, path: Path, where: str) -> Field:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise ContractError('an object with "name" and "type" is expected', where=f"{path}, {where}")
    kind = item.get("type")
    if kind not in TYPES:
        raise ContractError(
            f"{kind!r} is no type; one of {', '.join(TYPES)} is expected", where=f"{path}, {where}.type"
        )
    return Field(item["name"], kind, _texts(item, "categories", path, f"{where}.categories"))
