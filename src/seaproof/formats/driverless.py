"""Driverless AI MOJO: pipeline.mojo, scored by the vendor's own Java runtime, which its user licenses and brings.

Nothing of that runtime is here. What is called is its public interface: `MojoPipeline.loadFrom`, and the frame builder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jpype
import numpy as np

from seaproof.errors import ContractError, RequestError
from seaproof.formats import java
from seaproof.formats.identity import completed
from seaproof.formats.model import Contributions, Options, Rows, side_by_side
from seaproof.formats.schema import Field, Schema, Type

JARS = ("mojo2-runtime*.jar",)
SHAPLEY = "setShapPredictContribOriginal"
"""The public method by which a pipeline is told to give contributions of the columns."""
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
    return Driverless(pipeline, completed(schema_of(pipeline), path), lambda: loader.loadFrom(str(path)))


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

    def __init__(self, pipeline: Any, schema: Schema, load_again: Callable[[], Any]) -> None:
        self.schema = schema
        self.explain = self._explain if hasattr(pipeline, SHAPLEY) else None
        self._pipeline = pipeline
        self._load_again = load_again
        self._shapley: Any = None
        """A second pipeline, which gives contributions in place of scores; loaded for the first who asks for some."""
        self._names = [str(name) for name in pipeline.getInputMeta().getColumnNames()]

    def predict(self, rows: Rows) -> Any:
        """All outputs, row by row; a single one as a value for each row."""
        return side_by_side(self.score(rows))

    def score(self, rows: Rows) -> list[Any]:
        """The output frame, column by column."""
        return _columns(self._pipeline.transform(self._frame(self._pipeline, rows)))

    def _explain(self, rows: Rows) -> Contributions:
        try:
            if self._shapley is None:
                pipeline = self._load_again()
                getattr(pipeline, SHAPLEY)(True)
                self._shapley = pipeline
            frame = self._shapley.transform(self._frame(self._shapley, rows))
        except jpype.JException as error:  # not every pipeline can be asked for them
            raise RequestError(
                501,
                f"this pipeline gives no contributions: {error}",
                where="request",
                body={"detail": f"this pipeline gives no contributions: {error}"},
            ) from None
        names = [str(name) for name in frame.getColumnNames()]
        values = np.column_stack(_columns(frame))
        if len(self.schema.output) < 3:
            return Contributions(tuple(names), (), values)
        # Of several classes there is a column for each, `contrib_age.setosa`.
        groups = [field.name.rpartition(".")[2] for field in self.schema.output]
        of_group = [[place for place, name in enumerate(names) if name.endswith(f".{group}")] for group in groups]
        features = tuple(names[place].removesuffix(f".{groups[0]}") for place in of_group[0])
        return Contributions(features, tuple(groups), np.stack([values[:, places] for places in of_group], axis=1))

    def _frame(self, pipeline: Any, rows: Rows) -> Any:
        """The rows as the runtime takes them."""
        builder = pipeline.getInputFrameBuilder()
        columns = list(rows.T) if isinstance(rows, np.ndarray) else rows
        texts = [_texts(column, field) for column, field in zip(columns, self.schema.input, strict=True)]
        for row in zip(*texts, strict=True):
            line = builder.getMojoRowBuilder()
            for name, cell in zip(self._names, row, strict=True):
                if cell is not None:
                    line.setValue(name, cell)
            builder.addRow(line)
        return builder.toMojoFrame()


def _texts(column: Any, field: Field) -> list[str | None]:
    """Cells as the runtime parses them; None where a value is missing."""
    if field.type == "str":
        return list(column)
    whole = field.type in ("int", "bool")
    return [None if cell != cell else str(int(cell)) if whole else repr(cell) for cell in column.tolist()]


def _columns(frame: Any) -> list[Any]:
    return [_column(frame.getColumnData(place)) for place in range(int(frame.getNcols()))]


def _column(data: Any) -> Any:
    """A primitive array of Java as numpy's, one of texts as a list."""
    if str(data.getClass().getName()) == "[Ljava.lang.String;":
        return [None if cell is None else str(cell) for cell in data]
    return np.array(data)
