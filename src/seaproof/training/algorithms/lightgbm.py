"""LightGBM with categories of its own: model.txt."""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from seaproof.training.algorithms import Part, Setup, check_params, not_named
from seaproof.training.algorithms.frames import categorical, importance_by_name, names
from seaproof.training.libraries import need

FILE = "model.txt"
_EVERY = 100
"""A line of the log for so many rounds."""
_STOPPING = ("early_stopping_round", "early_stopping_rounds", "early_stopping", "n_iter_no_change")


def fit(setup: Setup, train: Part, watch: Part | None) -> Model:
    """Fit LGBMClassifier or LGBMRegressor; it stops early by `watch`."""
    lightgbm = need("lightgbm")
    estimator = estimators(setup.algorithm)[0 if setup.classes else 1]
    check_params(setup.algorithm, setup.task, setup.params)
    params: dict[str, Any] = {
        "random_state": setup.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
        # Else a column that cannot be split is written as if it had no categories.
        "feature_pre_filter": False,
    }
    callbacks = [lightgbm.log_evaluation(_EVERY)] if watch else []
    if setup.stopping_rounds and not wants_rows_to_watch(setup):
        params["n_estimators"] = 1000
        callbacks.append(lightgbm.early_stopping(setup.stopping_rounds))
    model = estimator(**{**params, **setup.params})
    model.fit(
        categorical(setup.fields, train.frame),
        train.target,
        sample_weight=train.weights,
        callbacks=callbacks,
        **_watched(setup, model, watch),
    )
    return Model(model, setup)


def estimators(algorithm: str) -> tuple[Any, Any]:
    """The classifier and the regressor."""
    lightgbm = need("lightgbm")
    return lightgbm.LGBMClassifier, lightgbm.LGBMRegressor


def unknown(estimator: Any, params: Mapping[str, Any]) -> list[str]:
    """What neither the estimator names nor the library itself uses, which it prints."""
    others = {name: params[name] for name in not_named(estimator, params)}
    if not others:
        return []
    lightgbm, numpy = need("lightgbm"), need("numpy")
    said = io.StringIO()
    with redirect_stdout(said):
        try:
            rows = lightgbm.Dataset(numpy.array([[0.0], [1.0]]), [0.0, 1.0])
            lightgbm.train({**others, "verbosity": 0}, rows, 1)
        except (lightgbm.basic.LightGBMError, TypeError, ValueError):  # a value, which is refused when there is data
            return []
    return [name for name in re.findall(r"Unknown parameter: (\S+)", said.getvalue()) if name in others]


def _watched(setup: Setup, model: Any, watch: Part | None) -> dict[str, Any]:
    """The rows to watch, as this version of the library takes them."""
    if watch is None:
        return {}
    rows = categorical(setup.fields, watch.frame)
    weights = {} if watch.weights is None else {"eval_sample_weight": [watch.weights]}
    if "eval_X" in inspect.signature(model.fit).parameters:
        return {"eval_X": rows, "eval_y": watch.target, **weights}
    return {"eval_set": [(rows, watch.target)], **weights}


def wants_rows_to_watch(setup: Setup) -> bool:
    """Whether model_params ask for early stopping in LightGBM's own words."""
    return any(name in setup.params for name in _STOPPING)


class Model:
    """One fitted model."""

    def __init__(self, model: Any, setup: Setup) -> None:
        self._model = model
        self._setup = setup

    @property
    def rounds(self) -> int | None:
        """Rounds that were kept."""
        return int(self._model.best_iteration_ or self._model.n_estimators_)

    def predict(self, frame: Any) -> Any:
        """Probabilities by class, or values."""
        rows = categorical(self._setup.fields, frame)
        return self._model.predict_proba(rows) if self._setup.classes else self._model.predict(rows)

    def importance(self) -> dict[str, float]:
        """The gain in the loss that splits by the column brought, all together."""
        booster = self._model.booster_
        gains = map(float, booster.feature_importance("gain"))
        # By place: LightGBM writes blanks in names as underscores.
        return importance_by_name(self._setup.fields, dict(zip(names(self._setup.fields), gains, strict=True)))

    def save(self, folder: Path) -> Path:
        """model.txt, with the rounds that were kept and no others."""
        path = folder / FILE
        self._model.booster_.save_model(str(path), num_iteration=self.rounds)
        return path
