"""Models, each trained and saved by its own library, and what that library predicts."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pandas
from format_lab import Made, income
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

TRAINED = 3000
"""Rows of the census that are trained on; all that are held out are predicted."""


def frame_of(columns: dict[str, list[Any]], missing: Any = float("nan")) -> pandas.DataFrame:
    """Text as objects, and `missing` where there is none."""
    return pandas.DataFrame(
        {
            name: pandas.Series(cells)
            if isinstance(cells[0], int)
            else pandas.Series([missing if cell is None else cell for cell in cells], dtype=object)
            for name, cells in columns.items()
        }
    )


def measured(name: str) -> tuple[pandas.DataFrame, Any, dict[str, list[Any]]]:
    """A table of measurements that scikit-learn carries: frame, target, columns."""
    load = {"iris": load_iris, "diabetes": load_diabetes, "cancer": load_breast_cancer}[name]
    found = load(as_frame=True)
    frame = found.data.rename(columns=lambda column: column.replace(" ", "_").replace("(", "").replace(")", ""))
    return frame, found.target.to_numpy(), {name: frame[name].tolist() for name in frame.columns}


TEXT = ("workclass", "education", "marital_status", "occupation", "relationship")


def census_types(columns: dict[str, list[Any]]) -> list[str]:
    return ["Str" if name in TEXT else "Float64" for name in columns]


def sklearn_pipeline() -> tuple[Any, dict[str, list[Any]], pandas.DataFrame]:
    """A fitted pipeline over the census, with encoders of its own; and the rows that are held out."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    trained, labels = income("train", TRAINED)
    numbers = [name for name in trained if name not in TEXT]
    one_hot = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="unknown"), OneHotEncoder(handle_unknown="ignore")
    )
    columns = ColumnTransformer([("text", one_hot, list(TEXT)), ("numbers", StandardScaler(), numbers)])
    model = make_pipeline(columns, LogisticRegression(max_iter=200))
    model.fit(frame_of(trained), labels)
    held_out, _ = income()
    return model, held_out, frame_of(held_out)


def _of_pipeline(model: Any, columns: dict[str, list[Any]], frame: pandas.DataFrame, **more: Any) -> Made:
    chances = model.predict_proba(frame)
    learned = model.named_steps["columntransformer"].named_transformers_["text"][-1].categories_
    return Made(
        columns,
        model.predict(frame),
        {"prediction": model.predict(frame), "probability_<=50K": chances[:, 0], "probability_>50K": chances[:, 1]},
        census_types(columns),
        categories=dict(zip(TEXT, map(list, learned), strict=True)),
        **more,
    )


def joblib_pipeline(folder: Path) -> Made:
    import joblib

    model, columns, frame = sklearn_pipeline()
    joblib.dump(model, folder / "model.joblib")
    return _of_pipeline(model, columns, frame)


def pickled_regression(folder: Path) -> Made:
    from sklearn.ensemble import RandomForestRegressor

    frame, target, columns = measured("diabetes")
    model = RandomForestRegressor(10, random_state=0).fit(frame.to_numpy(), target)
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    said = model.predict(frame.to_numpy())
    # Trained without names, so that it has none.
    unnamed = {f"x{number}": cells for number, cells in enumerate(columns.values())}
    return Made(unnamed, said, {"prediction": said}, ["Float64"] * 10)


def skops_classifier(folder: Path) -> Made:
    from sklearn.linear_model import LogisticRegression
    from skops.io import dump

    frame, target, columns = measured("iris")
    model = LogisticRegression(max_iter=500).fit(frame, target)
    dump(model, folder / "model.skops")
    chances = model.predict_proba(frame)
    scores = {"prediction": model.predict(frame), **{f"probability_{k}": chances[:, k] for k in range(3)}}
    return Made(columns, model.predict(frame), scores, ["Float64"] * 4)


def catboost_census(folder: Path) -> Made:
    import catboost

    trained, labels = income("train", TRAINED)
    model = catboost.CatBoostClassifier(iterations=40, depth=4, verbose=0, random_seed=0, allow_writing_files=False)
    model.fit(frame_of(trained, "nan"), labels, cat_features=list(TEXT))
    model.save_model(str(folder / "model.cbm"))
    columns, _ = income()
    frame = frame_of(columns, "nan")
    chances = model.predict_proba(frame)
    shap = model.get_feature_importance(catboost.Pool(frame, cat_features=list(TEXT)), type="ShapValues")
    return Made(
        columns,
        model.predict(frame),
        {"prediction": model.predict(frame), "probability_<=50K": chances[:, 0], "probability_>50K": chances[:, 1]},
        census_types(columns),
        shap,
    )


def catboost_iris(folder: Path) -> Made:
    import catboost

    frame, target, columns = measured("iris")
    model = catboost.CatBoostClassifier(iterations=20, verbose=0, random_seed=0, allow_writing_files=False)
    model.fit(frame, target)
    model.save_model(str(folder / "iris.cbm"))
    chances = model.predict_proba(frame)
    said = model.predict(frame)[:, 0]
    shap = model.get_feature_importance(catboost.Pool(frame), type="ShapValues")
    scores = {"prediction": said, **{f"probability_{k}": chances[:, k] for k in range(3)}}
    return Made(columns, said, scores, ["Float64"] * 4, shap)


def catboost_poisson(folder: Path) -> Made:
    import catboost

    frame, target, columns = measured("diabetes")
    model = catboost.CatBoostRegressor(
        iterations=20, verbose=0, random_seed=0, loss_function="Poisson", allow_writing_files=False
    )
    model.fit(frame, target)
    model.save_model(str(folder / "model.cbm"))
    said = model.predict(frame)
    shap = model.get_feature_importance(catboost.Pool(frame), type="ShapValues")
    return Made(columns, said, {"prediction": said}, ["Float64"] * 10, shap)


RECIPES = {
    recipe.__name__: recipe
    for recipe in (
        joblib_pipeline,
        pickled_regression,
        skops_classifier,
        catboost_census,
        catboost_iris,
        catboost_poisson,
    )
}
