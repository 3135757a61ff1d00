"""The id of a model that brings none: the same wherever its file is served."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import replace
from pathlib import Path

from seaproof.errors import ContractError
from seaproof.formats.schema import FILE, Field, Schema, read_schema

_SPACE = uuid.UUID("5ea9700f-0000-5000-8000-000000000000")
_PIECE = 1024 * 1024


def id_of(path: Path) -> str:
    """A UUID made of the file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return str(uuid.uuid5(_SPACE, digest.hexdigest()))


def completed(own: Schema, path: Path) -> Schema:
    """The schema that a format found in its file, completed by the `schema.json` beside it.

    The file knows best what columns the model has; schema.json adds their types, categories and classes, and names
    where the file has none. ContractError where the two cannot be of the same model.
    """
    given = read_schema(path.parent)
    if given is None:
        return own if own.id else replace(own, id=id_of(path))
    where = str(path.parent / FILE)
    if given.input and own.input and len(given.input) != len(own.input):
        raise ContractError(
            f"it has {len(given.input)} inputs, and {path.name} takes {len(own.input)}",
            where=where,
            next_step="Write the schema of this very model beside it.",
        )
    output = given.output if given.output and len(given.output) == len(own.output) else own.output
    return Schema(
        id=given.id or own.id or id_of(path),
        input=given.input or own.input,
        output=output or given.output,
        target=given.target or own.target,
        classes=given.classes or own.classes,
        columns=given.columns,
        missing=given.missing,
        separator=given.separator,
    )


def unnamed(count: int) -> tuple[Field, ...]:
    """The fields of a model that knows no more than how many columns it takes."""
    return tuple(Field(f"x{number}", "float") for number in range(count))


def classification(classes: tuple[str, ...], kind: str = "str") -> tuple[Field, ...]:
    """The outputs of a classifier: the label, and the probability of each class."""
    label = Field("prediction", "int" if kind == "int" else "str", classes)
    return (label, *(Field(f"probability_{name}", "float") for name in classes))


def numbered(name: str, count: int) -> tuple[Field, ...]:
    """Outputs that have nothing but a number: `prediction_0`, `prediction_1`."""
    return tuple(Field(f"{name}_{number}", "float") for number in range(count))


REGRESSION = (Field("prediction", "float"),)
"""The output of a regression."""
