"""XGBoost with categories of its own: model.ubj."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seaproof.training.algorithms import Part, Setup, check_params, not_named
from seaproof.training.algorithms.frames import categorical, importance_by_name
from seaproof.training.libraries import need

FILE = "model.ubj"
_EVERY = 100
"""A line of the log for so many rounds."""


def fit(setup: Setup, train: Part, watch: Part | None) -> Model:
    """Fit XGBClassifier or XGBRegressor; it stops early by `watch`."""
    estimator = estimators(setup.algorithm)[0 if setup.classes else 1]
    check_params(setup.algorithm, setup.task, setup.params)
    params: dict[str, Any] = {"enable_categorical": True, "random_state": setup.seed, "tree_method": "hist"}
    if setup.stopping_rounds:
        params |= {"early_stopping_rounds": setup.stopping_rounds, "n_estimators": 1000}
    model = estimator(**{**params, **setup.params})
    model.fit(
        categorical(setup.fields, train.frame),
        train.target,
        sample_weight=train.weights,
        eval_set=[(categorical(setup.fields, watch.frame), watch.target)] if watch else None,
        sample_weight_eval_set=[watch.weights] if watch and watch.weights is not None else None,
        verbose=_EVERY if watch else False,
    )
    return Model(model, setup)


def estimators(algorithm: str) -> tuple[Any, Any]:
    """The classifier and the regressor."""
    xgboost = need("xgboost")
    return xgboost.XGBClassifier, xgboost.XGBRegressor


def unknown(estimator: Any, params: Mapping[str, Any]) -> list[str]:
    """What neither the estimator names nor the library itself uses, which it says in a warning."""
    others = {name: params[name] for name in not_named(estimator, params)}
    if not others:
        return []
    xgboost, numpy = need("xgboost"), need("numpy")
    rows = xgboost.DMatrix(numpy.array([[0.0], [1.0]]), [0.0, 1.0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            xgboost.train({"verbosity": 1, "validate_parameters": True, **others}, rows, 1)
        except xgboost.core.XGBoostError:  # a value, which is refused when there is data
            return []
    said = " ".join(str(one.message) for one in caught)
    return [name for name in re.findall(r'"([^"]+)"', said.partition("Parameters:")[2]) if name in others]


def wants_rows_to_watch(setup: Setup) -> bool:
    """Whether model_params ask for early stopping in XGBoost's own words."""
    return "early_stopping_rounds" in setup.params


class Model:
    """One fitted model."""

    def __init__(self, model: Any, setup: Setup) -> None:
        self._model = model
        self._setup = setup

    @property
    def rounds(self) -> int | None:
        """Rounds that were kept."""
        best = getattr(self._model, "best_iteration", None) if self._model.early_stopping_rounds else None
        return int(self._model.get_booster().num_boosted_rounds()) if best is None else int(best) + 1

    def predict(self, frame: Any) -> Any:
        """Probabilities by class, or values."""
        rows = categorical(self._setup.fields, frame)
        return self._model.predict_proba(rows) if self._setup.classes else self._model.predict(rows)

    def importance(self) -> dict[str, float]:
        """The gain in the loss that splits by the column brought, all together."""
        return importance_by_name(self._setup.fields, self._model.get_booster().get_score(importance_type="total_gain"))

    def save(self, folder: Path) -> Path:
        """model.ubj, with the rounds that were kept and no others."""
        path = folder / FILE
        booster = self._model.get_booster()
        kept = self.rounds or 0
        (booster[:kept] if kept < booster.num_boosted_rounds() else booster).save_model(str(path))
        return path
