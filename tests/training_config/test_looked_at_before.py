"""What a config's data holds is looked at before anything runs, wherever it lies and however it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas
import pytest
from config_lab import Folder, penguins

from seaproof.contract.training_config.meaning import read_config
from seaproof.errors import ContractError
from seaproof.training.algorithms import check_params
from seaproof.training_file.check import look

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


def test_data_in_the_folders_own_s3_is_looked_at_there(open_path: Path) -> None:
    folder = Folder(open_path)
    objects = open_path / ".seaproof" / "s3" / "zoo" / "penguins"
    objects.mkdir(parents=True)
    (objects / "penguins.csv").write_text(penguins())
    folder.write("config.yaml", "data: s3://zoo/penguins/\ntarget: specie\n")
    wrong = folder.run("train", "config.yaml", check=False)
    folder.write("config.yaml", "data: s3://zoo/penguins/\ntarget: species\n")
    told = folder.run("explain", "config.yaml").stdout
    folder.write("config.yaml", "data: s3://zoo/pinguins/\ntarget: species\n")
    nowhere = folder.run("train", "config.yaml", check=False)

    assert "target `specie` is not a column (config.yaml, line 2). Did you mean `species`?" in wrong.stderr
    assert "344 rows" in told
    assert "nothing lies at `s3://zoo/pinguins/` (config.yaml, line 1)" in nowhere.stderr
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
