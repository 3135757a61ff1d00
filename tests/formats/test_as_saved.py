"""Models as people save them: wrapped in searches and ensembles, with encoders of every kind, with several outputs.
What they predict of real penguins is what their library predicts, and their columns are what they were trained on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import LabelEncoder, OneHotEncoder, OrdinalEncoder, StandardScaler

sys.path.insert(0, str(Path(__file__).parents[1] / "training_config"))
from config_lab import package_file

from seaproof.errors import RequestError
from seaproof.formats.choice import find, load
from seaproof.formats.model import Model, Options
from seaproof.formats.schema import Schema
from seaproof.serving.codecs import Table
from seaproof.serving.tabular.pages import Pages
from seaproof.serving.tabular.plain import Reader

TEXT = ["island", "sex"]
NUMBERS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "year"]
Trained = tuple[Any, Any, Any]
"""A fitted model, the rows that it was trained on, and what it predicts of them."""


@cache
def penguins() -> pandas.DataFrame:
    """344 of them; missing cells filled, so that every encoder takes them."""
    table = pandas.read_csv(package_file("palmerpenguins", "data/penguins.csv"))
    return table.assign(sex=table.sex.fillna("unknown")).fillna(0)[["species", *TEXT, *NUMBERS]]


def rows() -> pandas.DataFrame:
    return penguins()[[*TEXT, *NUMBERS]]


def sentences() -> pandas.DataFrame:
    return pandas.DataFrame({"text": penguins().sex + " on " + penguins().island, "mass": penguins().body_mass_g})


def categories() -> pandas.DataFrame:
    return rows().astype(dict.fromkeys(TEXT, "category"))


def pipeline(text: Any = TEXT, numbers: Any = NUMBERS, model: Any = None) -> Any:
    encoders = [("text", OneHotEncoder(handle_unknown="ignore"), text), ("numbers", StandardScaler(), numbers)]
    return make_pipeline(ColumnTransformer(encoders), model or LogisticRegression(max_iter=300))


def fitted(model: Any, frame: Any = None, target: Any = None) -> Trained:
    frame = rows() if frame is None else frame
    model.fit(frame, penguins().species if target is None else target)
    return model, frame, model.predict(frame)


def grid() -> Trained:
    return fitted(GridSearchCV(pipeline(), {"logisticregression__C": [0.1, 1]}, cv=2))


def calibrated() -> Trained:
    return fitted(CalibratedClassifierCV(pipeline(), cv=2))


def voting() -> Trained:
    return fitted(VotingClassifier([("one", pipeline()), ("other", pipeline())], voting="soft"))


def stacked() -> Trained:
    return fitted(StackingClassifier([("one", pipeline())], cv=2))


def of_a_logarithm() -> Trained:
    model = TransformedTargetRegressor(pipeline(model=Ridge()), func=np.log1p, inverse_func=np.expm1)
    return fitted(model, target=penguins().body_mass_g)


def encoder_alone() -> Trained:
    encoders = [SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")]
    return fitted(make_pipeline(*encoders, LogisticRegression(max_iter=300)), rows()[TEXT])


def columns_by_number() -> Trained:
    return fitted(pipeline([0, 1], slice(2, 7)))


def columns_by_mask() -> Trained:
    return fitted(pipeline([True, True, *[False] * 5], [False, False, *[True] * 5]))


def text_in_a_column() -> Trained:
    words = ColumnTransformer([("words", TfidfVectorizer(), "text"), ("mass", StandardScaler(), ["mass"])])
    return fitted(make_pipeline(words, LogisticRegression()), sentences())


def text_alone() -> Trained:
    search = GridSearchCV(
        make_pipeline(make_union(TfidfVectorizer(), TfidfVectorizer(analyzer="char")), LogisticRegression()),
        {"logisticregression__C": [1]},
        cv=2,
    )
    model, _, said = fitted(search, sentences().text)
    return model, sentences()[["text"]], said


def own_categories() -> Trained:
    return fitted(HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype"), categories())


def lightgbm_with_categories() -> Trained:
    import lightgbm

    return fitted(lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1), categories())


def xgboost_with_categories() -> Trained:
    import xgboost

    target = LabelEncoder().fit_transform(penguins().species)
    return fitted(xgboost.XGBClassifier(n_estimators=5, enable_categorical=True, n_jobs=1), categories(), target)


def catboost_pickled() -> Trained:
    import catboost

    model = catboost.CatBoostClassifier(
        iterations=5, verbose=0, cat_features=TEXT, allow_writing_files=False, thread_count=1
    )
    model, frame, said = fitted(model)
    return model, frame, said[:, 0]


def ordinal_of_an_array() -> Trained:
    model, _, said = fitted(make_pipeline(OrdinalEncoder(), Ridge()), rows()[TEXT].to_numpy(), penguins().body_mass_g)
    return model, rows()[TEXT].set_axis(["x0", "x1"], axis=1), said


def years_as_categories() -> Trained:
    return fitted(pipeline(["year"], NUMBERS[:4]), rows()[NUMBERS])


def two_numbers() -> Trained:
    return fitted(RandomForestRegressor(3), rows()[NUMBERS[:2]], penguins()[NUMBERS[2:4]])


def two_classes_at_once() -> Trained:
    return fitted(RandomForestClassifier(3), rows()[NUMBERS[:2]], penguins()[["species", "island"]])


def two_numbers_of_a_search() -> Trained:
    search = GridSearchCV(make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": [1]}, cv=2)
    return fitted(search, rows()[NUMBERS[:2]], penguins()[NUMBERS[2:4]])


def labels_of_several_kinds() -> Trained:
    both = np.column_stack([penguins().species == "Adelie", penguins().island == "Dream"]).astype(int)
    return fitted(OneVsRestClassifier(LogisticRegression(max_iter=300)), rows()[NUMBERS[:2]], both)


def clusters() -> Trained:
    return fitted(KMeans(3, n_init=1, random_state=0), rows()[NUMBERS])


TEXTS = {"island": "str", "sex": "str"}
ALL = {**TEXTS, **dict.fromkeys(NUMBERS, "float")}
KINDS: dict[Callable[[], Trained], dict[str, str]] = {
    **dict.fromkeys((grid, calibrated, voting, stacked, of_a_logarithm, columns_by_number, columns_by_mask), ALL),
    **dict.fromkeys((own_categories, lightgbm_with_categories, xgboost_with_categories, catboost_pickled), ALL),
    encoder_alone: TEXTS,
    ordinal_of_an_array: {"x0": "str", "x1": "str"},
    text_in_a_column: {"text": "str", "mass": "float"},
    text_alone: {"text": "str"},
    **dict.fromkeys((years_as_categories, clusters), dict.fromkeys(NUMBERS, "float")),
    **dict.fromkeys(
        (two_numbers, two_numbers_of_a_search, two_classes_at_once, labels_of_several_kinds),
        dict.fromkeys(NUMBERS[:2], "float"),
    ),
}


def loaded(folder: Path) -> tuple[Model, Reader]:
    found = find(folder)
    assert found is not None
    model = load(found, Options())
    return model, Reader(model.schema)


def asked(reader: Reader, table: pandas.DataFrame) -> Any:
    """The rows as the container would hand them to the model."""
    read = reader.table(Table([table[name].astype(object).tolist() for name in table], [*map(str, table)]))
    return reader.rows(read) if isinstance(read, Table) else read


def sample_is_scored(model: Model, reader: Reader) -> bool:
    """Whether the sample request gets all outputs of the schema."""
    sample = Pages(model, reader, (), lambda rows: rows).sample()
    cells = dict(zip(sample["fields"], sample["rows"][0], strict=True))
    scores = model.score(asked(reader, pandas.DataFrame([cells])))
    return len(scores) == len(model.schema.output) and all(len(column) == 1 for column in scores)


def inputs(schema: Schema) -> dict[str, str]:
    return {field.name: field.type for field in schema.input}


@pytest.mark.parametrize("trained", KINDS, ids=lambda recipe: recipe.__name__)
def test_a_model_is_served_with_the_columns_that_it_was_trained_on(
    trained: Callable[[], Trained], tmp_path: Path
) -> None:
    fitted_model, frame, expected = trained()
    joblib.dump(fitted_model, tmp_path / "model.joblib")
    model, reader = loaded(tmp_path)

    assert inputs(model.schema) == KINDS[trained]
    assert np.array_equal(np.asarray(model.predict(asked(reader, frame))), np.asarray(expected))
    assert sample_is_scored(model, reader)


@pytest.mark.parametrize(
    ("trained", "outputs"),
    [
        (two_numbers, {"prediction_0": "float", "prediction_1": "float"}),
        (two_numbers_of_a_search, {"prediction_0": "float", "prediction_1": "float"}),
        (labels_of_several_kinds, {"prediction_0": "int", "prediction_1": "int"}),
        (two_classes_at_once, {"prediction_0": "str", "prediction_1": "str"}),
        (clusters, {"prediction": "int"}),
    ],
)
def test_outputs_are_as_many_and_of_the_kind_that_the_model_gives(
    trained: Callable[[], Trained], outputs: dict[str, str], tmp_path: Path
) -> None:
    joblib.dump(trained()[0], tmp_path / "model.joblib")
    model, _ = loaded(tmp_path)

    assert {field.name: field.type for field in model.schema.output} == outputs


def noisy() -> tuple[Any, Any]:
    """Which are Adelies, three of ten answers being wrong, so that boosting stops early."""
    right = (penguins().species == "Adelie").astype(int)
    return rows()[NUMBERS], np.where(np.random.RandomState(0).rand(len(right)) < 0.3, 1 - right, right)


def test_an_xgboost_estimator_that_stopped_early_predicts_by_its_best_rounds(tmp_path: Path) -> None:
    import xgboost

    frame, target = noisy()
    estimator = xgboost.XGBClassifier(n_estimators=100, early_stopping_rounds=5, n_jobs=1)
    estimator.fit(frame[::2], target[::2], eval_set=[(frame[1::2], target[1::2])], verbose=False)
    estimator.save_model(tmp_path / "model.ubj")
    model, _ = loaded(tmp_path)
    assert model.explain is not None
    booster = estimator.get_booster()
    best = (0, estimator.best_iteration + 1)
    shap = booster.predict(xgboost.DMatrix(frame), pred_contribs=True, iteration_range=best)

    assert best[1] < booster.num_boosted_rounds()
    assert np.array_equal(model.predict(frame.to_numpy(float)), estimator.predict_proba(frame)[:, 1])
    assert np.array_equal(model.explain(frame.to_numpy(float)).values, shap)


@pytest.mark.parametrize(("booster", "targets"), [("gblinear", 3), ("gbtree", [2, 3]), ("dart", 3)])
def test_xgboost_of_every_booster_and_of_several_targets_answers_all_of_them(
    booster: str, targets: Any, tmp_path: Path
) -> None:
    import xgboost

    frame, target = rows()[NUMBERS[:2]], penguins().iloc[:, 3:].iloc[:, targets]
    estimator = xgboost.XGBRegressor(n_estimators=5, booster=booster, n_jobs=1).fit(frame, target)
    estimator.save_model(tmp_path / "model.json")
    model, reader = loaded(tmp_path)

    assert np.array_equal(model.predict(frame.to_numpy(float)), estimator.predict(frame))
    assert sample_is_scored(model, reader)


def test_catboost_with_uncertainty_or_several_labels_answers_what_its_estimators_do(tmp_path: Path) -> None:
    import catboost

    frame = rows()[NUMBERS[:2]]
    both = np.column_stack([penguins().species == "Adelie", penguins().island == "Dream"]).astype(int)
    given = {"iterations": 5, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
    unsure = catboost.CatBoostRegressor(loss_function="RMSEWithUncertainty", **given).fit(frame, penguins().body_mass_g)
    labels = catboost.CatBoostClassifier(loss_function="MultiLogloss", **given).fit(frame, both)
    for name, estimator in (("unsure", unsure), ("labels", labels)):
        (tmp_path / name).mkdir()
        estimator.save_model(str(tmp_path / name / "model.cbm"))
    one, other = loaded(tmp_path / "unsure")[0], loaded(tmp_path / "labels")[0]
    scores = other.score(frame.to_numpy(float))

    assert np.array_equal(one.predict(frame.to_numpy(float)), unsure.predict(frame))
    assert [field.name for field in other.schema.output] == [
        "prediction_0",
        "prediction_1",
        "probability_0",
        "probability_1",
    ]
    assert np.array_equal(np.column_stack(scores[:2]), labels.predict(frame))
    assert np.array_equal(np.column_stack(scores[2:]), labels.predict_proba(frame))


WEIGHTS = np.arange(8, dtype=np.float32).reshape(4, 2)


def graph(folder: Path, inputs: dict[str, tuple[int, list[Any]]], nodes: list[Any], dtype: Any = np.float32) -> None:
    """A graph of these inputs (type and shape) that makes `y`; `w` are the weights."""
    from onnx import helper, numpy_helper

    made = helper.make_graph(
        nodes,
        "table",
        [helper.make_tensor_value_info(name, *given) for name, given in inputs.items()],
        [helper.make_tensor_value_info("y", next(iter(inputs.values()))[0], None)],
        [numpy_helper.from_array(WEIGHTS.astype(dtype), "w")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


@pytest.mark.parametrize(("at_once", "dtype"), [(1, np.float32), (3, np.float64), (None, np.float16)])
def test_an_onnx_graph_for_so_many_rows_at_once_takes_any_number_of_them(
    at_once: int | None, dtype: Any, tmp_path: Path
) -> None:
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph(tmp_path, {"x": (kind, [at_once, 4])}, [helper.make_node("MatMul", ["x", "w"], ["y"])], dtype)
    model, reader = loaded(tmp_path)
    given = np.arange(28).reshape(7, 4) / 8

    assert np.array_equal(model.predict(given), given.astype(dtype) @ WEIGHTS.astype(dtype))
    assert sample_is_scored(model, reader)


def test_an_onnx_graph_with_inputs_of_several_columns_takes_each_column_by_name(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    inputs = {"a": (TensorProto.FLOAT, ["n", 4]), "count": (TensorProto.INT64, ["n", 1])}
    nodes = [
        helper.make_node("MatMul", ["a", "w"], ["product"]),
        helper.make_node("Cast", ["count"], ["plus"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["product", "plus"], ["y"]),
    ]
    graph(tmp_path, inputs, nodes)
    model, reader = loaded(tmp_path)
    given = pandas.DataFrame({"count": [7, 8], **{f"a_{number}": [number, number / 2] for number in range(4)}})
    expected = (
        given[[f"a_{number}" for number in range(4)]].to_numpy(np.float32) @ WEIGHTS + given[["count"]].to_numpy()
    )

    assert inputs_of(model) == [
        ("a_0", "float"),
        ("a_1", "float"),
        ("a_2", "float"),
        ("a_3", "float"),
        ("count", "int"),
    ]
    assert np.array_equal(model.predict(asked(reader, given)), expected)
    with pytest.raises(RequestError, match="a cell is empty, and the graph takes whole numbers there"):
        model.predict(asked(reader, given.assign(count=None)))


def inputs_of(model: Model) -> list[tuple[str, str]]:
    return list(inputs(model.schema).items())
