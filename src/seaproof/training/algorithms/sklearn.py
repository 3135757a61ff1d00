"""scikit-learn's linear models and trees, in a pipeline that takes the table as it is: model.joblib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seaproof.training.algorithms import Part, Setup, check_params, not_named
from seaproof.training.libraries import need

# Algorithm -> (module, classifier, regressor, what it is given unless model_params says otherwise).
ESTIMATORS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "linear": ("sklearn.linear_model", "LogisticRegression", "Ridge", {"max_iter": 1000}),
    "tree": ("sklearn.tree", "DecisionTreeClassifier", "DecisionTreeRegressor", {"min_samples_leaf": 20}),
    "forest": (
        "sklearn.ensemble",
        "RandomForestClassifier",
        "RandomForestRegressor",
        {"min_samples_leaf": 3, "n_jobs": -1},
    ),
    "boosting": (
        "sklearn.ensemble",
        "HistGradientBoostingClassifier",
        "HistGradientBoostingRegressor",
        {"early_stopping": False},
    ),
}
FILE = "model.joblib"
unknown = not_named
_MOST_CATEGORIES = 250
"""Of one column, for `linear`: rarer ones share a weight. `boosting` cannot tell more than 255 apart."""


def fit(setup: Setup, train: Part, watch: Part | None) -> Pipeline:
    """Fit the estimator that the algorithm stands for, behind the encoders that it needs."""
    estimator = estimators(setup.algorithm)[0 if setup.classes else 1]
    check_params(setup.algorithm, setup.task, setup.params)
    params = {**ESTIMATORS[setup.algorithm][3], "random_state": setup.seed, **_stopping(setup), **setup.params}
    model = estimator(**params)
    pipeline = need("sklearn.pipeline").Pipeline([("columns", _columns(setup, train.frame)), ("model", model)])
    target = train.target
    if setup.classes:
        target = need("numpy").array(setup.classes)[target]
    weights = {} if train.weights is None else {"model__sample_weight": train.weights}
    pipeline.fit(train.frame, target, **weights)
    return Pipeline(pipeline, setup)


def estimators(algorithm: str) -> tuple[Any, Any]:
    """The classifier and the regressor."""
    module, classifier, regressor, _ = ESTIMATORS[algorithm]
    return getattr(need(module), classifier), getattr(need(module), regressor)


def wants_rows_to_watch(setup: Setup) -> bool:
    """Never: `boosting` keeps the rows that it stops by for itself."""
    return False


def _stopping(setup: Setup) -> dict[str, Any]:
    if not setup.stopping_rounds:
        return {}
    return {
        "early_stopping": True,
        "n_iter_no_change": setup.stopping_rounds,
        "validation_fraction": setup.validation,
        "max_iter": 1000,
    }


def _columns(setup: Setup, frame: Any) -> Any:
    """From the table to numbers, each column by its kind; what was never seen counts as missing."""
    compose, numpy = need("sklearn.compose"), need("numpy")
    steps, prepare = need("sklearn.pipeline"), need("sklearn.preprocessing")
    # `boosting` fails on a column without a number, which one of `frame`, a fold of all rows, may be.
    numbers = [field.name for field in setup.fields if field.type != "str" and frame[field.name].notna().any()]
    texts = [field.name for field in setup.fields if field.type == "str"]
    if setup.algorithm == "linear":
        imputer = need("sklearn.impute").SimpleImputer(strategy="median", keep_empty_features=True)
        number: Any = steps.make_pipeline(imputer, prepare.StandardScaler())
        text: Any = prepare.OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=_MOST_CATEGORIES)
    else:
        number = "passthrough"
        text = prepare.OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=numpy.nan, encoded_missing_value=numpy.nan
        )
    parts = [("numbers", number, numbers), ("categories", text, texts)]
    return compose.ColumnTransformer([part for part in parts if part[2]], verbose_feature_names_out=False)


class Pipeline:
    """One fitted pipeline."""

    def __init__(self, pipeline: Any, setup: Setup) -> None:
        self._pipeline = pipeline
        self._setup = setup
        self._model = pipeline.named_steps["model"]

    @property
    def rounds(self) -> int | None:
        """Of `boosting`."""
        found = getattr(self._model, "n_iter_", None) if self._setup.algorithm == "boosting" else None
        return None if found is None else int(found)

    def predict(self, frame: Any) -> Any:
        """Probabilities by class, or values."""
        return self._pipeline.predict_proba(frame) if self._setup.classes else self._pipeline.predict(frame)

    def importance(self) -> dict[str, float]:
        """Of trees their own; of a linear model the size of the weights of standardised columns."""
        numpy = need("numpy")
        names = [str(name) for name in self._pipeline.named_steps["columns"].get_feature_names_out()]
        found = getattr(self._model, "feature_importances_", None)
        if found is None:
            weights = getattr(self._model, "coef_", None)
            if weights is None:
                return {}
            found = numpy.abs(numpy.atleast_2d(weights)).mean(axis=0)
        result = {field.name: 0.0 for field in self._setup.fields}
        columns = sorted(result, key=len, reverse=True)
        for name, value in zip(names, found, strict=True):
            # A column of categories became several: `carrier_UA` counts for `carrier`.
            own = name if name in result else next(one for one in columns if name.startswith(f"{one}_"))
            result[own] += float(value)
        return result

    def gains(self) -> dict[str, float]:
        """Of `boosting`, what splits by each column brought; empty where this version of scikit-learn does not say."""
        names = [str(name) for name in self._pipeline.named_steps["columns"].get_feature_names_out()]
        found = dict.fromkeys(names, 0.0)
        try:
            for tree in (tree for trees in self._model._predictors for tree in trees):
                for node in tree.nodes[tree.nodes["is_leaf"] == 0]:
                    found[names[int(node["feature_idx"])]] += float(node["gain"])
        except (AttributeError, KeyError, ValueError):
            return {}
        return found

    def save(self, folder: Path) -> Path:
        """model.joblib."""
        path = folder / FILE
        need("joblib").dump(self._pipeline, path)
        return path
