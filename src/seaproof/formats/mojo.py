"""H2O-3 MOJO: model.zip, scored in this process by genmodel, the open runtime that the image brings as a jar.

Rows cross into Java as one matrix and come back as one: the loop over them runs there. What is said is what genmodel's
own `hex.genmodel.tools.PredictCsv` says, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jpype
import numpy as np

from seaproof.errors import ContractError
from seaproof.formats import java
from seaproof.formats.codes import Codes
from seaproof.formats.identity import completed
from seaproof.formats.model import Contributions, Options, Rows, labels
from seaproof.formats.schema import Field, Schema

JARS = ("*genmodel*.jar", "h2o.jar")
Each = Callable[[Any], Any]
CLASSES = ("Binomial", "Multinomial", "Ordinal")
WARM_UPS = 50
KINDS = (*CLASSES, "Regression", "Clustering")


def load(path: Path, options: Options) -> Mojo:
    """Load a MOJO. ContractError where there is no Java or no genmodel, or for a kind of model that is no table's."""
    jar = java.find_jar(options.jar, path, JARS, "genmodel, H2O's open runtime", "h2o")
    java.start(jar)
    loader = java.java_class("hex.genmodel.MojoModel", jar)
    try:
        model = loader.load(str(path))
    except jpype.JException as error:
        raise ContractError(f"{path.name} cannot be read: {error}", where=str(path)) from None
    kind = str(model.getModelCategory())
    if kind not in KINDS or model.requiresOffset():
        what = "needs an offset column" if kind in KINDS else f"is a model of {kind}"
        raise ContractError(
            f"{path.name} {what}", where=str(path), next_step=f"What can be served is: {', '.join(KINDS)}."
        )
    return Mojo(model, kind, completed(schema_of(model, kind), path))


def schema_of(model: Any, kind: str) -> Schema:
    """Columns by name, with their levels where they are categories; outputs as PredictCsv has them in its header."""
    names = [str(name) for name in model.getNames()][: model.nfeatures()]
    levels = [model.getDomainValues(place) for place in range(len(names))]
    given = tuple(
        Field(name, "float") if known is None else Field(name, "str", tuple(str(level) for level in known))
        for name, known in zip(names, levels, strict=True)
    )
    if kind == "Clustering":
        return Schema(str(model.getUUID()), given, (Field("cluster", "int"),))
    target = str(model.getResponseName())
    if kind == "Regression":
        return Schema(str(model.getUUID()), given, (Field("predict", "float"),), target)
    classes = tuple(str(level) for level in model.getDomainValues(model.getResponseIdx()))
    outputs = (Field("predict", "str", classes), *(Field(name, "float") for name in classes))
    return Schema(str(model.getUUID()), given, outputs, target, classes)


class Mojo:
    """One loaded MOJO."""

    def __init__(self, model: Any, kind: str, schema: Schema) -> None:
        self.schema = schema
        self._kind = kind
        # The labels of the file itself: its numbers count these.
        self._classes = (
            [str(level) for level in model.getDomainValues(model.getResponseIdx())] if schema.classes else []
        )
        levels = [model.getDomainValues(place) for place in range(len(schema.input))]
        self._codes = Codes({place: list(map(str, known)) for place, known in enumerate(levels) if known is not None})
        self._each = _each(_score(model), "[[D")
        self._contributions = _contributions(model, kind)
        self.explain = self._explain if self._contributions else None
        # Java compiles what runs often. That is done here, and not at the cost of the first who ask.
        for _ in range(WARM_UPS):
            self._scored(np.zeros((100, len(schema.input))))

    def predict(self, rows: Rows) -> Any:
        """The label, the value, or the cluster."""
        return self._first(self._scored(rows))

    def score(self, rows: Rows) -> list[Any]:
        """Label and probabilities, the value, or the cluster."""
        said = self._scored(rows)
        first = self._first(said)
        return [first, *said.T[1 : 1 + len(self._classes)]] if self._kind in CLASSES else [first]

    def _first(self, said: Any) -> Any:
        if self._kind in CLASSES:
            return labels(self._classes, said[:, 0])
        return said[:, 0].astype(np.int64) if self._kind == "Clustering" else said[:, 0]

    def _scored(self, rows: Rows) -> Any:
        """What score0 leaves in `preds`, row by row."""
        return self._each(self._matrix(rows))

    def _explain(self, rows: Rows) -> Contributions:
        assert self._contributions is not None
        each, names = self._contributions
        return Contributions((*names[:-1], "bias"), (), each(self._matrix(rows)))

    def _matrix(self, rows: Rows) -> Any:
        """The rows as a double[][]: levels by their number, NaN for a level that training has not seen."""
        return jpype.JArray.of(np.ascontiguousarray(self._codes.matrix(rows), np.float64))


def _score(model: Any) -> Any:
    """(row) -> score0(row, new double[width]), as a handle."""
    handles = jpype.JClass("java.lang.invoke.MethodHandles")
    width = jpype.java.lang.Integer(model.getPredsSize())
    result = handles.insertArguments(handles.arrayConstructor(_java("[D")), 0, [width])
    return handles.collectArguments(
        _method("hex.genmodel.GenModel", "score0", "[D", "[D", "[D").bindTo(model), 1, result
    )


def _contributions(model: Any, kind: str) -> tuple[Each, list[str]] | None:
    """What gives contributions, and the names of what contributes; None where there are none."""
    factory = jpype.JClass("hex.genmodel.PredictContributionsFactory")
    if kind not in ("Binomial", "Regression") or not isinstance(model, factory):
        return None
    try:
        predictor = model.makeContributionsPredictor()
    except jpype.JException:  # a booster of XGBoost's that is no tree, and the like
        return None
    calculate = _method("hex.genmodel.PredictContributions", "calculateContributions", "[F", "[D")
    names = [str(name) for name in predictor.getContributionNames()]
    return _each(calculate.bindTo(predictor), "[[F"), names


def _java(name: str) -> Any:
    return jpype.java.lang.Class.forName(name)


def _method(owner: str, name: str, result: str, *arguments: str) -> Any:
    """A public method as a handle that Java itself can call."""
    kind = jpype.JClass("java.lang.invoke.MethodType").methodType(_java(result), [_java(one) for one in arguments])
    lookup = jpype.JClass("java.lang.invoke.MethodHandles").publicLookup()
    return lookup.findVirtual(jpype.JClass(owner).class_, name, kind)


def _each(function: Any, result: str) -> Each:
    """A function from a double[][] to the matrix of what the handle gives for each of its rows.

    Java runs the loop, as a call from here costs microseconds; and what it loops over is made once, since Java compiles
    what it meets again.
    """
    handles = jpype.JClass("java.lang.invoke.MethodHandles")
    proxies = jpype.JClass("java.lang.invoke.MethodHandleProxies")
    apply = proxies.asInterfaceInstance(jpype.JClass("java.util.function.Function").class_, function)
    made = handles.arrayConstructor(_java(result))
    gather = proxies.asInterfaceInstance(jpype.JClass("java.util.function.IntFunction").class_, made)
    stream = jpype.java.util.Arrays.stream
    return lambda rows: np.array(stream(rows).map(apply).toArray(gather))
