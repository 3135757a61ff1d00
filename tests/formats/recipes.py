"""Models, each trained and saved by its own library, and what that library predicts."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from format_lab import Made, income
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from seaproof.formats.schema import Field, Schema, write_schema

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


def _categories(frame: pandas.DataFrame, known: dict[str, list[str]]) -> pandas.DataFrame:
    """The text columns as pandas' own categories."""
    return frame.assign(**{name: pandas.Categorical(frame[name], known[name]) for name in TEXT})


def _known(frame: pandas.DataFrame) -> dict[str, list[str]]:
    return {name: sorted(frame[name].dropna().unique()) for name in TEXT}


def _chances(said: Any) -> dict[str, Any]:
    """The outputs of a model of two classes whose labels schema.json names."""
    label = np.where(said > 0.5, ">50K", "<=50K")
    rest = np.ones(1, said.dtype) - said
    return {"prediction": label, "probability_<=50K": rest, "probability_>50K": said}


def _label_schema(folder: Path) -> None:
    write_schema(folder, Schema("", (), (), classes=("<=50K", ">50K")))


def xgboost_census(folder: Path) -> Made:
    import xgboost

    trained, labels = income("train", TRAINED)
    known = _known(frame_of(trained))
    target = [label == ">50K" for label in labels]
    data = xgboost.DMatrix(_categories(frame_of(trained), known), target, enable_categorical=True)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 4, "nthread": 1}, data, 20)
    booster.save_model(folder / "model.ubj")
    _label_schema(folder)
    columns, _ = income()
    held_out = xgboost.DMatrix(_categories(frame_of(columns), known), enable_categorical=True)
    said = booster.predict(held_out)
    shap = booster.predict(held_out, pred_contribs=True)
    types = ["Str" if name in TEXT else "Int64" for name in columns]
    return Made(columns, said, _chances(said), types, shap, known)


def xgboost_iris(folder: Path) -> Made:
    import xgboost

    frame, target, columns = measured("iris")
    model = xgboost.XGBClassifier(n_estimators=10, n_jobs=1).fit(frame, target)
    model.save_model(folder / "model.json")
    booster = model.get_booster()
    data = xgboost.DMatrix(frame)
    said = booster.predict(data)
    scores = {f"probability_{k}": said[:, k] for k in range(3)}
    return Made(columns, said, scores, ["Float64"] * 4, booster.predict(data, pred_contribs=True))


def xgboost_bst(folder: Path) -> Made:
    """A regression under the name that SageMaker's own examples give a booster."""
    import xgboost

    frame, target, columns = measured("diabetes")
    data = xgboost.DMatrix(frame, target)
    booster = xgboost.train({"objective": "reg:squarederror", "nthread": 1}, data, 10)
    (folder / "model.bst").write_bytes(booster.save_raw("ubj"))
    said = booster.predict(data)
    shap = booster.predict(data, pred_contribs=True)
    return Made(columns, said, {"prediction": said}, ["Float64"] * 10, shap)


def lightgbm_census(folder: Path) -> Made:
    import lightgbm

    trained, labels = income("train", TRAINED)
    known = _known(frame_of(trained))
    frame = _categories(frame_of(trained), known)
    wanted = {"objective": "binary", "num_leaves": 15, "num_threads": 1, "verbose": -1}
    data = lightgbm.Dataset(frame, [label == ">50K" for label in labels])
    booster = lightgbm.train(wanted, data, 20)
    booster.save_model(folder / "model.txt")
    _label_schema(folder)
    columns, _ = income()
    held_out = _categories(frame_of(columns), known)
    said = booster.predict(held_out)
    return Made(
        columns, said, _chances(said), census_types(columns), booster.predict(held_out, pred_contrib=True), known
    )


def lightgbm_iris(folder: Path) -> Made:
    import lightgbm

    frame, target, columns = measured("iris")
    wanted = {"objective": "multiclass", "num_class": 3, "num_threads": 1, "verbose": -1}
    booster = lightgbm.train(wanted, lightgbm.Dataset(frame, target), 5)
    booster.save_model(folder / "model.txt")
    said = booster.predict(frame)
    shap = booster.predict(frame, pred_contrib=True).reshape(len(frame), 3, 5)
    return Made(columns, said, {f"probability_{k}": said[:, k] for k in range(3)}, ["Float64"] * 4, shap)


def onnx_census(folder: Path) -> Made:
    """A pipeline with an input for each column, text among them."""
    import onnxruntime
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    model, columns, _ = sklearn_pipeline()
    columns = {name: ["unknown" if cell is None else cell for cell in cells] for name, cells in columns.items()}
    model.named_steps["columntransformer"].named_transformers_["text"].steps.pop(0)  # ONNX has no imputer of text
    inputs = [(n, StringTensorType([None, 1]) if n in TEXT else FloatTensorType([None, 1])) for n in columns]
    graph = to_onnx(model, initial_types=inputs, options={"zipmap": True})
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    given = {
        name: np.array(cells, object if name in TEXT else np.float32).reshape(-1, 1) for name, cells in columns.items()
    }
    label, chances = session.run(None, given)
    names = [one.name for one in session.get_outputs()]
    scores = {names[0]: label, **{f"{names[1]}_{k}": [row[k] for row in chances] for k in ("<=50K", ">50K")}}
    return Made(columns, label, scores, census_types(columns))


def onnx_diabetes(folder: Path) -> Made:
    """One tensor of all columns, whose names schema.json knows."""
    import onnxruntime
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestRegressor

    frame, target, columns = measured("diabetes")
    model = RandomForestRegressor(5, random_state=0).fit(frame, target)
    graph = to_onnx(model, frame.to_numpy(np.float32)[:1])
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    write_schema(folder, Schema("", tuple(Field(name, "float") for name in columns), (Field("progress", "float"),)))
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    said = session.run(None, {session.get_inputs()[0].name: frame.to_numpy(np.float32)})[0][:, 0]
    return Made(columns, said, {"progress": said}, ["Float64"] * 10)


FUNCTION = """\
import json
import math
from pathlib import Path

def load(model_dir):
    return json.loads((Path(model_dir) / "wages.json").read_text())

def predict(columns, wages):
    worth = [wages.get(name, 1.0) for name in columns["occupation"]]
    hours = [given * one for given, one in zip(columns["hours_per_week"], worth)]
    return {"weekly": hours, "grade": ["high" if math.sqrt(one) > 6 else "low" for one in hours]}
"""


def python_function(folder: Path) -> Made:
    """A function of text and numbers, with something to load and two outputs."""
    census, _ = income()
    columns = {name: census[name] for name in ("hours_per_week", "occupation")}
    known = sorted({name for name in columns["occupation"] if name})
    wages = {name: 1 + place / 7 for place, name in enumerate(known)}
    (folder / "model.py").write_text(FUNCTION)
    (folder / "wages.json").write_text(json.dumps(wages))
    given = (Field("hours_per_week", "int"), Field("occupation", "str", tuple(known)))
    write_schema(folder, Schema("", given, (Field("weekly", "float"), Field("grade", "str"))))
    space: dict[str, Any] = {}
    exec(FUNCTION, space)
    said = space["predict"](columns, wages)
    both = [[float(weekly), grade] for weekly, grade in zip(said["weekly"], said["grade"], strict=True)]
    return Made(columns, both, said, ["Int64", "Str"], categories={"occupation": known})


RECIPES = {
    recipe.__name__: recipe
    for recipe in (
        joblib_pipeline,
        pickled_regression,
        skops_classifier,
        catboost_census,
        catboost_iris,
        catboost_poisson,
        xgboost_census,
        xgboost_iris,
        xgboost_bst,
        lightgbm_census,
        lightgbm_iris,
        onnx_census,
        onnx_diabetes,
        python_function,
    )
}
