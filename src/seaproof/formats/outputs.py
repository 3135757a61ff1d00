"""What a fitted scikit-learn model gives for a row where that is no label of one target and no single number.

Told by what the model keeps, not by asking it: a model is loaded before the workers are forked, and the threads that a
prediction starts do not survive that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from seaproof.formats.identity import numbered
from seaproof.formats.schema import Field, Type

_WRAPPERS = ("best_estimator_", "regressor_")


def outputs_of(model: Any) -> tuple[Field, ...]:
    """The outputs of a model of several targets or labels, of clusters, or of outliers; none for all others."""
    from sklearn.base import is_clusterer, is_outlier_detector

    last = _last(model)
    count, kind = _several(last)
    if count > 1:
        return tuple(replace(field, type=kind) for field in numbered("prediction", count))
    known = hasattr(last, "get_params")
    return (Field("prediction", "int"),) if known and (is_clusterer(last) or is_outlier_detector(last)) else ()


def _last(model: Any) -> Any:
    """What makes the prediction, inside of pipelines and searches."""
    while True:
        inner = model.steps[-1][1] if hasattr(model, "steps") else None
        inner = next((getattr(model, name) for name in _WRAPPERS if hasattr(model, name)), inner)
        if inner is None:
            return model
        model = inner


def _several(last: Any) -> tuple[int, Type]:
    """How many predictions there are of a row, and of which type; 0 where it is one."""
    classes = getattr(last, "classes_", None)
    if isinstance(classes, list):
        kinds = {one.dtype.kind for one in classes}
        return len(classes), "int" if kinds <= set("iu") else "str"
    binarizer = getattr(last, "_label_binarizer", None)
    if getattr(last, "multilabel_", False) or str(getattr(binarizer, "y_type_", "")).startswith("multilabel"):
        return len(classes) if classes is not None else 0, "int"
    if classes is not None:
        return 0, "str"
    if type(last).__name__ in ("MultiOutputRegressor", "RegressorChain"):
        return len(last.estimators_), "float"
    for name, axis in (("coef_", 0), ("_y", 1)):  # of linear models, and of neighbours
        shape = getattr(getattr(last, name, None), "shape", ())
        if len(shape) == 2:
            return int(shape[axis]), "float"
    count = getattr(last, "n_outputs_", 0)
    return (count if isinstance(count, int) else 0), "float"
