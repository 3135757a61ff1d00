"""Which model is found, and what is said where none, several, or one that will not be loaded is there."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import catboost
import joblib
import pytest
from format_lab import CSV, SOURCE, Container, free_port, model_folder, served
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skops.io import dump

from seaproof.formats.choice import find

DOUBLE = LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0])


def as_pickle(folder: Path) -> None:
    (folder / "model.pkl").write_bytes(pickle.dumps(DOUBLE))


def as_joblib(folder: Path) -> None:
    joblib.dump(DOUBLE, folder / "model.joblib")


def as_foreign_pickle(folder: Path) -> None:
    # A pickle of a class of a module that is not there.
    (folder / "model.pkl").write_bytes(b"cnowhere\nModel\n.")


def as_text_in_a_pickle(folder: Path) -> None:
    (folder / "model.pkl").write_bytes(pickle.dumps("a text"))


def as_skops_with_a_function(folder: Path) -> None:
    dump(make_pipeline(FunctionTransformer(os.path.join), DOUBLE), folder / "model.skops")


def as_two_models(folder: Path) -> None:
    as_pickle(folder)
    as_joblib(folder)


def as_broken_catboost(folder: Path) -> None:
    (folder / "model.cbm").write_bytes(b"hi")


def as_broken_onnx(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"hi")


def as_broken_xgboost(folder: Path) -> None:
    (folder / "model.json").write_text('{"learner": {}}')


def as_wrong_schema(folder: Path) -> None:
    as_pickle(folder)
    fields = [{"name": "a", "type": "float"}, {"name": "b", "type": "float"}]
    (folder / "schema.json").write_text(json.dumps({"id": "x", "input": fields, "output": []}))


def as_empty(folder: Path) -> None:
    (folder / "notes.txt").write_text("tree frogs are green")


@pytest.mark.parametrize(
    ("leave", "environment", "said"),
    [
        (as_empty, {}, ["no saved model in", "CatBoost (*.cbm)"]),
        (as_two_models, {}, ["there are 2 models: model.joblib, model.pkl", "SEAPROOF_MODEL="]),
        (as_pickle, {"SEAPROOF_MODEL": "other.cbm"}, ["there is no file", "other.cbm"]),
        (as_empty, {"SEAPROOF_MODEL": "notes.txt"}, ["notes.txt is a model of no known format"]),
        (as_pickle, {"SEAPROOF_NO_PICKLE": "true"}, ["model.pkl is a pickle, and pickles are not", "skops"]),
        (as_joblib, {"SEAPROOF_NO_PICKLE": "1"}, ["model.joblib is a pickle, and pickles are not"]),
        (as_foreign_pickle, {}, ["a pickle of something from nowhere, which is not installed"]),
        (as_text_in_a_pickle, {}, ["holds a str, which has no predict"]),
        (as_skops_with_a_function, {}, ["brings types that skops does not know: ", "SEAPROOF_TRUSTED_TYPES="]),
        (as_broken_catboost, {}, ["model.cbm cannot be read as CatBoost", "Is the file whole"]),
        (as_broken_onnx, {}, ["model.onnx cannot be read as ONNX", "Is the file whole"]),
        (as_broken_xgboost, {}, ["model.json cannot be read", "booster.save_model"]),
        (as_wrong_schema, {}, ["it has 2 inputs, and model.pkl takes 1", "schema.json"]),
        (as_pickle, {"SEAPROOF_OUTPUT": "some"}, ["SEAPROOF_OUTPUT is 'some'"]),
    ],
)
def test_a_model_that_cannot_be_served_ends_the_container_with_the_reason(
    tmp_path: Path, leave: Callable[[Path], None], environment: dict[str, str], said: list[str]
) -> None:
    leave(model_folder(tmp_path))
    container = Container(tmp_path, free_port()).restart(**environment)

    assert container.wait(60) == 1
    for text in said:
        assert text in container.log
    assert "Traceback" not in container.log


def test_a_package_that_the_image_lacks_is_named(tmp_path: Path) -> None:
    model = catboost.CatBoostRegressor(iterations=1, verbose=0, allow_writing_files=False).fit([[0], [1]], [0, 1])
    model.save_model(str(model_folder(tmp_path) / "model.cbm"))
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['catboost'] = None\n")
    container = Container(tmp_path, free_port()).restart(PYTHONPATH=f"{tmp_path}{os.pathsep}{SOURCE}")

    assert container.wait(60) == 1
    assert "model.cbm is a CatBoost model, and the package catboost is not installed" in container.log
    assert "RUN pip install catboost" in container.log


def test_a_pickle_is_loaded_with_a_warning(tmp_path: Path) -> None:
    as_pickle(model_folder(tmp_path))
    with served(tmp_path) as container:
        assert container.invoke("21", CSV).json == [pytest.approx(42.0)]
        assert "WARNING model.pkl is a pickle: loading it runs whatever code is in it" in container.log


def test_types_that_are_trusted_by_name_are_loaded(tmp_path: Path) -> None:
    as_skops_with_a_function(model_folder(tmp_path))
    (tmp_path / "ml" / "model" / "model.skops").unlink()
    dump(make_pipeline(FunctionTransformer(abs), DOUBLE), tmp_path / "ml" / "model" / "model.skops")
    with served(tmp_path, SEAPROOF_TRUSTED_TYPES="builtins.abs", SEAPROOF_NO_PICKLE="true") as container:
        assert container.invoke("-21", CSV).json == [pytest.approx(42.0)]


def test_one_of_several_models_is_served_by_name_and_all_outputs_where_that_is_asked(tmp_path: Path) -> None:
    as_two_models(model_folder(tmp_path))
    with served(tmp_path, SEAPROOF_MODEL="model.pkl", SEAPROOF_OUTPUT="all") as container:
        reply = container.invoke("21\n1\n", CSV, Accept="text/csv; header=present")
        lines = reply.body.decode().splitlines()

    assert lines[0] == "prediction"
    assert [float(line) for line in lines[1:]] == pytest.approx([42.0, 2.0])


def test_a_package_may_add_a_format(tmp_path: Path) -> None:
    site = tmp_path / "site"
    described = site / "times_two-1.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: times-two\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[seaproof.formats]\ntimes-two = times_two:FORMAT\n")
    (site / "times_two.py").write_text(
        "from seaproof.formats.model import Format\n"
        "from seaproof.formats.schema import Field, Schema\n"
        "class Two:\n"
        "    explain = None\n"
        "    schema = Schema('two', (Field('x', 'float'),), (Field('y', 'float'),))\n"
        "    def predict(self, rows):\n"
        "        return rows[:, 0] * 2\n"
        "    def score(self, rows):\n"
        "        return [self.predict(rows)]\n"
        "FORMAT = Format('Two', '*.two', lambda path: path.suffix == '.two', lambda path, options: Two())\n"
    )
    (model_folder(tmp_path) / "model.two").write_bytes(b"")
    with served(tmp_path, PYTHONPATH=f"{site}{os.pathsep}{SOURCE}") as container:
        assert container.invoke("21", CSV).json == [42.0]
        assert container.invoke('{"x": "4"}').json == {"y": "8.0"}


def test_a_script_that_loads_the_model_itself_gets_the_same_api(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    as_joblib(folder)
    (folder / "code").mkdir()
    (folder / "code" / "inference.py").write_text(
        "from seaproof.formats import choice\n"
        "from seaproof.formats.model import Options\n"
        "def model_fn(model_dir):\n"
        "    return choice.load(choice.find(model_dir), Options())\n"
    )
    with served(tmp_path) as container:
        assert container.get("/model/schema").json["schema"]["inputFields"] == [{"name": "x0", "dataType": "Float64"}]


def test_a_multi_model_container_serves_saved_models_of_any_format(tmp_path: Path) -> None:
    model_folder(tmp_path)
    for name, leave in (("one", as_pickle), ("two", as_joblib)):
        (tmp_path / name).mkdir()
        leave(tmp_path / name)
    with served(tmp_path, SAGEMAKER_MULTI_MODEL="true") as container:
        for name in ("one", "two"):
            order = json.dumps({"model_name": name, "url": str(tmp_path / name)})
            loaded = container.send("POST", "/models", order, {"Content-Type": "application/json"})
            assert loaded.status == 200, loaded.body
            reply = container.send("POST", f"/models/{name}/invoke", "21", {"Content-Type": CSV})
            assert reply.json == [pytest.approx(42.0)]


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("m.cbm", b"", "CatBoost"),
        ("model", b"CBM1....", "CatBoost"),
        ("m.json", b'{"learner":{"x":1}}', "XGBoost"),
        ("m.json", b'{"something": 1}', None),
        ("m.ubj", b"{L", "XGBoost"),
        ("m.bst", b"", "XGBoost"),
        ("m.txt", b"tree\nversion=v4\n", "LightGBM"),
        ("m.txt", b"trees are green", None),
        ("m.onnx", b"", "ONNX"),
        ("m.joblib", b"", "scikit-learn"),
        ("m.skops", b"", "scikit-learn"),
        ("pipeline.mojo", b"not a zip", "Driverless AI MOJO"),
        ("m.pt2", b"", "PyTorch exported program"),
        ("m.pt", b"", None),
        ("m.safetensors", b"", "PyTorch safetensors"),
        ("model.py", b"", "Python function"),
        ("m.zip", b"PK", None),
    ],
)
def test_a_format_is_told_from_name_and_first_bytes(
    tmp_path: Path, name: str, content: bytes, format: str | None
) -> None:
    (tmp_path / name).write_bytes(content)
    found = find(tmp_path)

    assert (found.format.name if found else None) == format
