"""H2O-3 MOJOs: what is served is what genmodel's own PredictCsv says, to the last digit."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_lab import (
    CSV,
    INCOME,
    Container,
    columns_of,
    csv_text,
    free_port,
    model_folder,
    packed,
    same,
    served,
    table,
)
from genmodel import genmodel
from sklearn.datasets import load_diabetes, load_iris

from venvs import python_with

Columns = dict[str, list[Any]]
SLOW = ("regression", "linear", "clusters")
KINDS = ["binomial", "multinomial", "ordinal", *(pytest.param(kind, marks=pytest.mark.slow) for kind in SLOW)]
TABLES = {
    **dict.fromkeys(("binomial", "linear"), "census"),
    **dict.fromkeys(("multinomial", "ordinal", "clusters"), "iris"),
    "regression": "diabetes",
}


@pytest.fixture(scope="module")
def mojos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a MOJO of each kind, and `<table>-rows.csv` with what is to be predicted."""
    python = python_with("h2o")
    folder = tmp_path_factory.mktemp("mojos")
    shutil.copy(INCOME / "train.csv", folder / "census.csv")
    with (INCOME / "held_out.csv").open(newline="") as file:
        rows = [row[1:] for row in csv.reader(file)]
    _write(folder / "census-rows.csv", rows)
    iris, diabetes = load_iris(), load_diabetes()
    names = ["a", "b", "c", "d"]
    _write(
        folder / "iris.csv",
        [
            [*names, "species"],
            *([*x, iris.target_names[y]] for x, y in zip(iris.data.tolist(), iris.target, strict=True)),
        ],
    )
    _write(folder / "iris-rows.csv", [names, *iris.data.tolist()])
    names = list(diabetes.feature_names)
    _write(
        folder / "diabetes.csv",
        [
            [*names, "progress"],
            *([*x, y] for x, y in zip(diabetes.data.tolist(), diabetes.target.tolist(), strict=True)),
        ],
    )
    _write(folder / "diabetes-rows.csv", [names, *diabetes.data.tolist()])
    program = Path(__file__).with_name("train_mojos.py")
    # Below H2O's usual ports, of which it takes two that follow one another.
    done = subprocess.run([python, program, folder, str(free_port())], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module", params=KINDS)
def serving(
    request: pytest.FixtureRequest, mojos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Container, str]]:
    """A container that serves the MOJO of one kind, from its archive."""
    root = tmp_path_factory.mktemp("served")
    (root / "trained").mkdir()
    shutil.copy(mojos / f"{request.param}.zip", root / "trained" / "pipeline.mojo")
    packed(root / "trained", root)
    with served(root, str(python_with("h2o")), SEAPROOF_JAVA_JAR=str(genmodel())) as container:
        yield container, request.param


@cache
def predict_csv(mojos: Path, kind: str, *options: str) -> dict[str, list[str]]:
    """The columns of what PredictCsv writes."""
    out = mojos / f"{kind}{''.join(options)}.out"
    java = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", str(genmodel())]
    command = [*java, "hex.genmodel.tools.PredictCsv", "--mojo", str(mojos / f"{kind}.zip")]
    given = ["--input", str(mojos / f"{TABLES[kind]}-rows.csv"), "--output", str(out), "--decimal", *options]
    subprocess.run([*command, *given], check=True, capture_output=True)
    with out.open(newline="") as file:
        header, *rows = csv.reader(file)
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


def rows_of(mojos: Path, kind: str) -> Columns:
    """What is to be predicted, as a caller has it."""
    with (mojos / f"{TABLES[kind]}-rows.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    return dict(zip(header, ([cell or None for cell in cells] for cells in zip(*rows, strict=True)), strict=True))


def _write(path: Path, rows: list[list[Any]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _numbers(cells: list[str]) -> list[Any]:
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return cells


def test_every_row_is_what_predict_csv_says(serving: tuple[Container, str], mojos: Path) -> None:
    container, kind = serving
    said = predict_csv(mojos, kind)
    answered = columns_of(container.invoke(table(rows_of(mojos, kind)), "application/octet-stream"))

    assert list(answered) == list(said)
    for name, cells in said.items():
        assert same(answered[name], _numbers(cells)), name


def test_plain_csv_is_answered_with_the_first_of_its_columns(serving: tuple[Container, str], mojos: Path) -> None:
    container, kind = serving
    said = next(iter(predict_csv(mojos, kind).values()))
    # A MOJO may have another order of columns than its training had: that of the schema counts without names.
    order = [one["name"] for one in container.get("/model/schema").json["schema"]["inputFields"]]
    for header in (True, False):
        reply = container.invoke(csv_text(rows_of(mojos, kind), order, header=header), CSV)

        assert reply.status == 200, reply.body
        assert same(reply.json, _numbers(said))


def test_contributions_are_those_of_genmodel(serving: tuple[Container, str], mojos: Path) -> None:
    container, kind = serving
    reply = container.send("POST", "/model/contribution", table(rows_of(mojos, kind)))
    if kind not in ("binomial", "regression"):
        assert reply.status == 501
        return
    said = predict_csv(mojos, kind, "--predictContributions")
    expected = np.array([list(map(float, cells)) for cells in said.values()], np.float32).T
    (group,) = reply.json["contributionByOutputGroup"]

    assert reply.json["features"] == [*list(said)[:-1], "bias"]
    assert np.array_equal(np.array(group["contributions"], np.float32), expected)


def test_the_schema_is_that_of_the_file(serving: tuple[Container, str], mojos: Path) -> None:
    container, kind = serving
    schema = container.get("/model/schema").json
    types = {one["name"]: one["dataType"] for one in schema["schema"]["inputFields"]}

    assert set(types) == set(rows_of(mojos, kind))
    assert types.get("workclass", "Str") == "Str"
    assert types.get("age", "Float64") == "Float64"
    assert int(schema["id"])  # as H2O numbers its models
    sample = container.get("/model/sample_request").body
    assert container.invoke(sample).status == 200


def test_a_level_that_training_has_not_seen_is_missing(serving: tuple[Container, str], mojos: Path) -> None:
    container, kind = serving
    row = {name: cells[0] for name, cells in rows_of(mojos, kind).items()}
    # In a column of numbers there are no levels; what says that a value is missing is missing all the same.
    column, unseen = ("workclass", "never seen") if TABLES[kind] == "census" else (next(iter(row)), "NA")
    replies = [container.invoke(json.dumps({**row, column: text})) for text in (unseen, "")]

    assert [reply.status for reply in replies] == [200, 200]
    assert replies[0].json == replies[1].json


def test_a_jar_that_is_named_and_not_there_is_said(mojos: Path, tmp_path: Path) -> None:
    shutil.copy(mojos / "binomial.zip", model_folder(tmp_path) / "model.zip")
    container = Container(tmp_path, free_port())
    with pytest.raises(AssertionError), served(tmp_path, str(python_with("h2o")), SEAPROOF_JAVA_JAR="/nowhere.jar"):
        pass

    assert "there is no file /nowhere.jar" in container.log
    assert "Traceback" not in container.log
