"""CatBoost: categories as they are, model.cbm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seaproof.training.algorithms import Part, Setup, check_params, not_named
from seaproof.training.libraries import need

FILE = "model.cbm"
unknown = not_named
# Of which a parameter has several names; ours would stand beside the author's otherwise.
_SEEDS = ("random_seed", "random_state")
_VERBOSITY = ("verbose", "logging_level", "verbose_eval", "silent")
_STOPPING = ("early_stopping_rounds", "od_wait", "od_type", "use_best_model")
_EVERY = 100
"""A line of the log for so many rounds."""


def fit(setup: Setup, train: Part, watch: Part | None) -> Model:
    """Fit CatBoostClassifier or CatBoostRegressor; it stops early, and keeps its best rounds, by `watch`."""
    numpy = need("numpy")
    estimator = estimators(setup.algorithm)[0 if setup.classes else 1]
    check_params(setup.algorithm, setup.task, setup.params)
    params: dict[str, Any] = {"allow_writing_files": False}
    if not _any(setup, _SEEDS):
        params["random_seed"] = setup.seed
    if not _any(setup, _VERBOSITY):
        params["verbose"] = _EVERY
    if setup.stopping_rounds and not _any(setup, _STOPPING):
        params["early_stopping_rounds"] = setup.stopping_rounds
    if setup.classes and "class_names" not in setup.params:
        params["class_names"] = list(setup.classes)
    model = estimator(**{**params, **setup.params})
    labels = numpy.array(setup.classes, dtype=object) if setup.classes else None
    watched = None if watch is None else _pool(setup, watch, labels)
    model.fit(_pool(setup, train, labels), eval_set=watched)
    return Model(model, setup)


def estimators(algorithm: str) -> tuple[Any, Any]:
    """The classifier and the regressor."""
    catboost = need("catboost")
    return catboost.CatBoostClassifier, catboost.CatBoostRegressor


def wants_rows_to_watch(setup: Setup) -> bool:
    """Whether model_params ask for early stopping in CatBoost's own words."""
    return _any(setup, _STOPPING[:3])


def _any(setup: Setup, names: tuple[str, ...]) -> bool:
    return any(name in setup.params for name in names)


def _frame(setup: Setup, frame: Any) -> Any:
    # What the served model puts in the place of a missing category.
    missing = need("seaproof.formats.catboost").MISSING
    return frame.assign(
        **{
            field.name: frame[field.name].astype(object).fillna(missing)
            for field in setup.fields
            if field.type == "str"
        }
    )


def _pool(setup: Setup, part: Part, labels: Any) -> Any:
    texts = [field.name for field in setup.fields if field.type == "str"]
    target = part.target if labels is None else labels[part.target]
    return need("catboost").Pool(_frame(setup, part.frame), label=target, weight=part.weights, cat_features=texts)


class Model:
    """One fitted model."""

    def __init__(self, model: Any, setup: Setup) -> None:
        self._model = model
        self._setup = setup

    @property
    def rounds(self) -> int | None:
        """Trees that were kept."""
        return int(self._model.tree_count_)

    def predict(self, frame: Any) -> Any:
        """Probabilities by class, or values."""
        rows = _frame(self._setup, frame)
        return self._model.predict_proba(rows) if self._setup.classes else self._model.predict(rows)

    def importance(self) -> dict[str, float]:
        """By how much predictions change with the column, in percent of all."""
        found = self._model.get_feature_importance(type="PredictionValuesChange")
        names = [field.name for field in self._setup.fields]
        return dict(zip(names, map(float, found), strict=True))

    def save(self, folder: Path) -> Path:
        """model.cbm, without what differs from one training to the next."""
        path = folder / FILE
        metadata = self._model.get_metadata()
        for name in ("model_guid", "train_finish_time"):
            if name in metadata.keys():  # noqa: SIM118 (CatBoost's own kind of mapping)
                del metadata[name]
        self._model.save_model(str(path))
        return path
