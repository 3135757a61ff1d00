"""What a config's data holds is looked at before anything runs, wherever it lies and however it is written."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
from config_lab import Folder, penguins

from seaproof.contract.training_config.meaning import read_config
from seaproof.errors import ContractError
from seaproof.training.algorithms import check_params
from seaproof.training.tables import read_files
from seaproof.training.trial import refused
from seaproof.training_file.check import look
from seaproof.training_file.explain import explain

FRAME = pandas.DataFrame(
    {
        "age": [31, None, 45, 28],
        "plan": ["free", "paid", None, "paid"],
        "year": [2023, 2024, 2024, 2023],
        "left": [True, False, True, None],
    }
)


def problems(folder: Path, **config: Any) -> list[str]:
    meant, mistakes = read_config(config)
    assert mistakes == []
    return list(map(str, look(meant, folder)[1]))


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_a_parquet_file_is_looked_at_as_a_csv_file_is(name: str, tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "rows.parquet")
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    config: dict[str, Any] = {"data": name, "target": "left"}
    meant, _ = read_config(config)
    found, _ = look(meant, tmp_path)

    assert (found.columns, found.rows) == (list(FRAME.columns), 4)
    assert [value.lower() for value in found.target] == ["true", "false", "true"]
    assert problems(tmp_path, data=name, target="lef") == ["target `lef` is not a column. Did you mean `left`?"]
    assert problems(tmp_path, **config, features=["agee"]) == ["features `agee` is not a column. Did you mean `age`?"]
    split = {"by": "year", "test_values": ["2025"]}
    assert problems(tmp_path, **config, split=split) == ["no row has `2025` in `year`. Did you mean `2024`?"]
    assert problems(tmp_path, data=name, target="plan", positive_class="payd") == [
        "positive_class `payd` is no value of `plan`. Did you mean `paid`?"
    ]


def test_what_is_neither_a_file_nor_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, data="/dev/zero", target="left")

    assert problem.startswith("`/dev/zero` is neither a file nor a folder. Name a file, or a folder of files:")


def test_parquet_files_that_do_not_go_together_or_are_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    FRAME.to_parquet(tmp_path / "rows" / "a.parquet")
    FRAME.drop(columns="plan").to_parquet(tmp_path / "rows" / "b.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")

    (other,) = problems(tmp_path, data="rows", target="left")
    (broken,) = problems(tmp_path, data="broken.parquet", target="left")
    (test,) = problems(tmp_path, data={"train": "rows/a.parquet", "test": "rows/b.parquet"}, target="left")

    assert other.startswith("b.parquet has other columns than a.parquet")
    assert broken.startswith("broken.parquet cannot be read")
    assert test.startswith("b.parquet has no column `plan`")


@pytest.mark.parametrize(
    ("name", "pack"), [("a.csv.gz", gzip.compress), ("a.csv.bz2", bz2.compress), ("a.csv.xz", lzma.compress)]
)
def test_a_compressed_file_is_looked_at_and_read_as_it_is(
    name: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(pack(penguins().encode()))
    (tmp_path / f"broken-{name}").write_bytes(pack(penguins().encode())[:300])
    meant, _ = read_config({"data": name, "target": "species"})
    found, _ = look(meant, tmp_path)
    (broken,) = problems(tmp_path, data=f"broken-{name}", target="species")

    assert (found.rows, len(read_files([tmp_path / name], meant.data))) == (344, 344)
    assert broken.startswith(f"broken-{name} cannot be read")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", penguins().encode("utf-16"), "a.csv is text in UTF-16. Save it as CSV in UTF-8: iconv -f UTF-16"),
        (
            "a.csv",
            "y\nTörgersen\n".encode("latin-1"),
            "a.csv is no text in UTF-8. Save it as CSV in UTF-8; or, of western",
        ),
        ("a.xlsx", b"PK\x03\x04\xff\xff\0", "a.xlsx is an Excel file. Save its table as CSV in UTF-8."),
        ("a.csv", b"y\n\xff\0\n", "a.csv is no text. Save it as CSV in UTF-8."),
        (
            "a.csv",
            b'x,y\n"1,2\n3,4\n',
            "a.csv, row 1: it has 1 cells, and there are 2 columns. A quotation mark may be",
        ),
    ],
)
def test_what_is_no_table_in_utf_8_is_told_with_what_it_is(
    name: str, content: bytes, told: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    (problem,) = problems(tmp_path, data=name, target="y")

    assert problem.startswith(told)


def test_files_of_systems_in_a_folder_of_data_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "a.csv").write_text(penguins())
    (tmp_path / "rows" / ".DS_Store").write_bytes(b"\0\xff")
    (tmp_path / "rows" / "_SUCCESS").touch()
    meant, _ = read_config({"data": "rows", "target": "species"})
    found, told = look(meant, tmp_path)

    assert (found.rows, told) == (344, [])


def test_a_column_without_a_name_has_the_same_name_here_and_in_the_job(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(',x,"",y\n0,1,2,a\n1,2,3,b\n')
    meant, _ = read_config({"data": "a.csv", "target": "y", "exclude": ["Unnamed: 2"]})
    found, told = look(meant, tmp_path)

    assert told == []
    assert found.columns == list(read_files([tmp_path / "a.csv"], meant.data).columns)
    assert found.columns == ["Unnamed: 0", "x", "Unnamed: 2", "y"]
    assert "A column without a name, which numbers the rows, is left out." in explain(meant, found, "")["columns"]


def what_is_told_of_penguins_in_s3(folder: Folder) -> tuple[str, str, str]:
    """Of a target that is no column there, of a right one, and of data that lies nowhere."""
    folder.write("config.yaml", "data: s3://zoo/penguins/\ntarget: specie\n")
    wrong = folder.run("train", "config.yaml", check=False).stderr
    folder.write("config.yaml", "data: s3://zoo/penguins/\ntarget: species\n")
    right = folder.run("explain", "config.yaml").stdout
    folder.write("config.yaml", "data: s3://zoo/pinguins/\ntarget: species\n")
    return wrong, right, folder.run("train", "config.yaml", check=False).stderr


def assert_they_were_looked_at(wrong: str, right: str, nowhere: str) -> None:
    assert "target `specie` is not a column (config.yaml, line 2). Did you mean `species`?" in wrong
    assert "344 rows" in right
    assert "nothing lies at `s3://zoo/pinguins/` (config.yaml, line 1)" in nowhere


def test_data_in_the_folders_own_s3_is_looked_at_there(open_path: Path) -> None:
    folder = Folder(open_path)
    objects = open_path / ".seaproof" / "s3" / "zoo" / "penguins"
    objects.mkdir(parents=True)
    (objects / "penguins.csv").write_text(penguins())
    told = what_is_told_of_penguins_in_s3(folder)

    assert_they_were_looked_at(*told)
    assert not (open_path / ".seaproof" / "seaproof.db").exists()


@pytest.mark.parametrize(
    ("algorithm", "given", "right"),
    [
        ("catboost", "iteration", "iterations"),
        ("xgboost", "max_dept", "max_depth"),
        ("lightgbm", "num_leafs", "num_leaves"),
        ("linear", "max_iters", "max_iter"),
        ("tree", "maxdepth", "max_depth"),
        ("forest", "n_estimator", "n_estimators"),
        ("boosting", "learningrate", "learning_rate"),
    ],
)
def test_a_parameter_that_an_algorithm_has_not_is_told_without_any_data(algorithm: str, given: str, right: str) -> None:
    for task in ("classification", "regression", ""):
        check_params(algorithm, task, {right: 3})
        with pytest.raises(ContractError) as refused:
            check_params(algorithm, task, {right: 3, given: 3})

        assert refused.value.where == f"config, model_params.{given}"
        assert refused.value.next_step == f"Did you mean `{right}`?"


@pytest.mark.parametrize(
    ("algorithm", "given", "here"),
    [
        ("forest", "iterations", "n_estimators"),
        ("boosting", "n_estimators", "max_iter"),
        ("tree", "depth", "max_depth"),
        ("boosting", "num_leaves", "max_leaf_nodes"),
        ("forest", "min_data_in_leaf", "min_samples_leaf"),
    ],
)
def test_a_parameter_of_another_library_is_told_by_its_name_here(algorithm: str, given: str, here: str) -> None:
    with pytest.raises(ContractError) as refused:
        check_params(algorithm, "classification", {given: 5})

    assert refused.value.next_step == f"Here it is called `{here}`."


@pytest.mark.parametrize(
    ("algorithm", "params"),
    [("xgboost", {"eta": 0.1, "lambda": 1, "num_parallel_tree": 2}), ("lightgbm", {"eta": 0.1, "lambda_l2": 1})],
)
def test_the_librarys_own_other_names_are_taken(algorithm: str, params: dict[str, Any]) -> None:
    check_params(algorithm, "classification", params)


def test_what_only_one_task_has_is_refused_where_the_task_is_known() -> None:
    check_params("linear", "classification", {"C": 1.0})
    check_params("linear", "", {"C": 1.0})
    with pytest.raises(ContractError, match="`C` is no parameter of Ridge"):
        check_params("linear", "regression", {"C": 1.0})


@pytest.mark.parametrize(
    ("algorithm", "task", "params", "name"),
    [
        ("catboost", "classification", {"iterations": 5000, "depth": 40}, "depth"),
        ("catboost", "regression", {"loss_function": "Logloss"}, "loss_function"),
        ("xgboost", "classification", {"max_depth": "deep", "eta": 0.1}, "max_depth"),
        ("xgboost", "regression", {"subsample": 3, "objective": "reg:no"}, "subsample"),
        ("lightgbm", "classification", {"num_leaves": 1, "n_estimators": 5000}, "num_leaves"),
        ("lightgbm", "regression", {"objective": "regresion"}, "objective"),
        ("linear", "classification", {"penalty": "l1", "C": 2.0}, "penalty"),
        ("tree", "regression", {"criterion": "gini"}, "criterion"),
        ("forest", "classification", {"n_estimators": -5}, "n_estimators"),
        ("boosting", "regression", {"learning_rate": "fast", "max_iter": 5000}, "learning_rate"),
    ],
)
def test_a_value_that_a_library_does_not_take_is_told_without_any_data(
    algorithm: str, task: str, params: dict[str, Any], name: str
) -> None:
    found = refused(algorithm, task, params, ["a", "b", "c"], 0)

    assert found is not None
    assert found[0] == name
    assert found[1]


@pytest.mark.parametrize(
    ("algorithm", "task", "params"),
    [
        ("catboost", "classification", {"class_weights": [1, 2, 3], "iterations": 5000, "cat_features": ["plan"]}),
        ("catboost", "classification", {"loss_function": "MultiClass", "early_stopping_rounds": 20, "depth": 8}),
        ("catboost", "regression", {"monotone_constraints": {"age": 1}, "input_borders": "none.tsv"}),
        ("xgboost", "classification", {"early_stopping_rounds": 5, "monotone_constraints": {"age": 1}}),
        ("xgboost", "regression", {"booster": "gblinear", "objective": "count:poisson"}),
        ("lightgbm", "classification", {"min_child_samples": 100_000, "categorical_feature": [7]}),
        ("lightgbm", "regression", {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}),
        ("linear", "classification", {"class_weight": {"a": 2}, "solver": "saga", "penalty": "l1"}),
        ("forest", "classification", {"max_samples": 100_000, "max_features": 40}),
        ("boosting", "classification", {"early_stopping": True, "validation_fraction": 0.001}),
        ("tree", "regression", {"min_samples_leaf": 100_000}),
    ],
)
def test_what_only_the_rows_can_tell_is_left_to_the_job(algorithm: str, task: str, params: dict[str, Any]) -> None:
    assert refused(algorithm, task, params, ["a", "b", "c"], 0) is None


def test_data_in_another_s3_is_looked_at_there(open_path: Path) -> None:
    elsewhere, folder = open_path / "elsewhere", open_path / "here"
    objects = elsewhere / ".seaproof" / "s3" / "zoo" / "penguins"
    objects.mkdir(parents=True)
    folder.mkdir()
    (objects / "penguins.csv").write_text(penguins())
    other, here = Folder(elsewhere), Folder(folder)
    try:
        other.run("up")
        url = other.json("env")["AWS_ENDPOINT_URL"]
        here.environ |= {"SEAPROOF_S3": url, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
        told = what_is_told_of_penguins_in_s3(here)
    finally:
        other.run("down", check=False)

    assert_they_were_looked_at(*told)
    assert not (folder / ".seaproof").exists()
