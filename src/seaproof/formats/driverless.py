"""Driverless AI MOJO: pipeline.mojo, scored by the vendor's own Java runtime, which its user licenses and brings.

Nothing of that runtime is here. What is called is its public interface: `MojoPipeline.loadFrom`, and the frame builder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jpype
import numpy as np

from seaproof.errors import ContractError
from seaproof.formats import java
from seaproof.formats.identity import completed
from seaproof.formats.model import Options, Rows, side_by_side
from seaproof.formats.schema import Field, Schema, Type

JARS = ("mojo2-runtime*.jar",)
LICENSE = "ai.h2o.mojos.runtime.license.key"
_TYPES: dict[str, Type] = {"Bool": "bool", "Int32": "int", "Int64": "int", "Float32": "float", "Float64": "float"}


def load(path: Path, options: Options) -> Driverless:
    """Load a pipeline. ContractError says which is missing: the jar, Java, or the licence."""
    jar = java.find_jar(options.jar, path, JARS, "the Driverless AI runtime, which is yours to license and to bring")
    java.start(jar, {LICENSE: options.license_key} if options.license_key else None)
    loader = java.java_class("ai.h2o.mojos.runtime.MojoPipeline", jar)
    try:
        pipeline = loader.loadFrom(str(path))
    except jpype.JException as error:
        if "License" in type(error).__name__ or "icense" in str(error):
            raise ContractError(
                f"the Driverless AI runtime does not accept its licence: {error}",
                where="DRIVERLESS_AI_LICENSE_KEY",
                next_step="Set DRIVERLESS_AI_LICENSE_KEY in the container's environment to a valid key.",
            ) from None
        raise ContractError(f"{path.name} cannot be read: {error}", where=str(path)) from None
    return Driverless(pipeline, completed(schema_of(pipeline), path))


def schema_of(pipeline: Any) -> Schema:
    """Columns in and out, by name and type."""
    return Schema(str(pipeline.getUuid()), _fields(pipeline.getInputMeta()), _fields(pipeline.getOutputMeta()))


def _fields(meta: Any) -> tuple[Field, ...]:
    return tuple(
        Field(str(meta.getColumnName(place)), _TYPES.get(str(meta.getColumnType(place)), "str"))
        for place in range(int(meta.size()))
    )


class Driverless:
    """One loaded pipeline."""

    explain = None

    def __init__(self, pipeline: Any, schema: Schema) -> None:
        self.schema = schema
        self._pipeline = pipeline
        self._names = [str(name) for name in pipeline.getInputMeta().getColumnNames()]

    def predict(self, rows: Rows) -> Any:
        """All outputs, row by row; a single one as a value for each row."""
        return side_by_side(self.score(rows))

    def score(self, rows: Rows) -> list[Any]:
        """The output frame, column by column."""
        builder = self._pipeline.getInputFrameBuilder()
        columns = list(rows.T) if isinstance(rows, np.ndarray) else rows
        texts = [_texts(column, field) for column, field in zip(columns, self.schema.input, strict=True)]
        for row in zip(*texts, strict=True):
            line = builder.getMojoRowBuilder()
            for name, cell in zip(self._names, row, strict=True):
                if cell is not None:
                    line.setValue(name, cell)
            builder.addRow(line)
        frame = self._pipeline.transform(builder.toMojoFrame())
        return [_column(frame.getColumnData(place)) for place in range(int(frame.getNcols()))]


def _texts(column: Any, field: Field) -> list[str | None]:
    """Cells as the runtime parses them; None where a value is missing."""
    if field.type == "str":
        return list(column)
    whole = field.type in ("int", "bool")
    return [None if cell != cell else str(int(cell)) if whole else repr(cell) for cell in column.tolist()]


def _column(data: Any) -> Any:
    """A primitive array of Java as numpy's, one of texts as a list."""
    if str(data.getClass().getName()) == "[Ljava.lang.String;":
        return [None if cell is None else str(cell) for cell in data]
    return np.array(data)
