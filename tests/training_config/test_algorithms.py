"""Every algorithm on real tables: it learns, it can be repeated to the last byte, and it does what the config says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from config_lab import INCOME, csv_text, package_file, penguins
from fitting_lab import Done, run, run_hyperparameters
from sklearn.datasets import load_breast_cancer, load_diabetes
from threadpoolctl import threadpool_limits

from seaproof.contract.environ import TrainingEnviron
from seaproof.contract.opt_ml import Channel, Cluster, TrainingInput, write_training
from seaproof.contract.training_config.flat import flatten
from seaproof.errors import ContractError
from seaproof.formats.choice import find, load
from seaproof.formats.model import Options
from seaproof.formats.schema import Field
from seaproof.training.algorithms import Part, Setup, fit
from seaproof.training.by_config import train_by_config
from seaproof.training.importance import importance
from seaproof.training.job import Job
from seaproof.training.measures.scores import Outcome

ALGORITHMS = ["catboost", "xgboost", "lightgbm", "boosting", "forest", "tree", "linear"]
SMALL: dict[str, dict[str, Any]] = {
    "catboost": {"iterations": 60},
    "xgboost": {"n_estimators": 40},
    "lightgbm": {"n_estimators": 40, "min_child_samples": 5, "n_jobs": 1},
    "boosting": {"max_iter": 40},
    "forest": {"n_estimators": 30, "n_jobs": 1},
}


def income(rows: int = 1500) -> str:
    """Census rows with missing categories."""
    return "".join((INCOME / "train.csv").read_text().splitlines(keepends=True)[: rows + 1])


def loaded(done: Done) -> Any:
    """The model as the container serves it."""
    found = find(done.root / "model")
    assert found is not None
    return load(found, Options())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_same_seed_is_the_same_model_byte_for_byte(algorithm: str, tmp_path: Path) -> None:
    config = {
        "target": "sex",
        "algorithm": algorithm,
        "positive_class": "female",
        "class_weights": "balanced",
        "seed": 7,
        "model_params": SMALL.get(algorithm, {}),
    }

    first = run(tmp_path / "first", config, penguins())
    again = run(tmp_path / "again", config, penguins())

    assert first.files() == again.files()
    assert first.metrics == again.metrics
    assert first.metrics["accuracy"] > 0.8
    assert loaded(first).schema.classes == ("female", "male")


def test_another_seed_keeps_other_rows(tmp_path: Path) -> None:
    config = {"target": "sex", "algorithm": "tree"}

    first = run(tmp_path / "first", config, penguins())
    other = run(tmp_path / "other", {**config, "seed": 8}, penguins())

    assert first.metrics != other.metrics


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_number_is_predicted_better_than_by_its_mean(algorithm: str, tmp_path: Path) -> None:
    found = load_diabetes(as_frame=True, scaled=False).frame
    table = csv_text(list(found.columns), found.to_numpy().tolist())

    done = run(tmp_path, {"target": "target", "algorithm": algorithm, "model_params": SMALL.get(algorithm, {})}, table)

    assert done.metrics["r2"] > 0.05
    assert done.schema["output"] == [{"name": "prediction", "type": "float", "categories": []}]
    rows = found.drop(columns="target").to_numpy(float)
    assert len(loaded(done).predict(rows)) == len(rows)
    assert "Predicted and actual" in done.report


@pytest.mark.parametrize("algorithm", ["catboost", "xgboost", "lightgbm", "boosting"])
def test_early_stopping_keeps_fewer_rounds_and_looks_at_rows_of_its_own(
    algorithm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = {"catboost": "iterations", "boosting": "max_iter"}.get(algorithm, "n_estimators")
    params = {rounds: 400, "learning_rate": 0.3, **({"n_jobs": 1} if algorithm == "lightgbm" else {})}
    done = run(
        tmp_path,
        {"target": "income", "algorithm": algorithm, "model_params": params, "early_stopping": {"rounds": 5}},
        income(),
    )

    said = capsys.readouterr().out
    kept = int(said.partition(" rounds were built")[0].rpartition("\n")[2])
    assert 1 <= kept < 400
    assert ("120 rows of these decide when to stop" in said) == (algorithm != "boosting")
    assert done.metrics["roc_auc"] > 0.8


def test_weights_find_more_of_a_rare_class(tmp_path: Path) -> None:
    config = {"target": "income", "algorithm": "linear", "metrics": ["recall", "precision"]}

    plain = run(tmp_path / "plain", config, income())
    balanced = run(tmp_path / "balanced", {**config, "class_weights": "balanced"}, income())
    given = run(tmp_path / "given", {**config, "class_weights": {">50K": 3.07}}, income())

    assert balanced.metrics["recall"] > plain.metrics["recall"] + 0.1
    assert given.metrics["recall"] == pytest.approx(balanced.metrics["recall"], abs=0.03)
    assert balanced.metrics["precision"] < plain.metrics["precision"]


def test_folds_are_measured_on_rows_of_their_own(tmp_path: Path) -> None:
    found = load_breast_cancer(as_frame=True).frame
    table = csv_text(list(found.columns), found.to_numpy().tolist())
    config = {"target": "target", "task": "classification", "algorithm": "linear", "cross_validation": {"folds": 5}}

    done = run(tmp_path, {**config, "split": {"test": 0}, "metrics": ["roc_auc", "accuracy"]}, table)

    assert set(done.metrics) == {
        *("cv:roc_auc", "cv:roc_auc_std", "cv:accuracy", "cv:accuracy_std", "train:roc_auc", "train:accuracy")
    }
    assert 0.98 < done.metrics["cv:roc_auc"] < done.metrics["train:roc_auc"] <= 1
    assert 0 < done.metrics["cv:accuracy_std"] < 0.05
    assert "it had learned from, which flatters it" in done.report


def test_a_column_decides_which_rows_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {"target": "species", "algorithm": "linear", "metrics": ["accuracy"]}

    named = run(tmp_path / "named", {**config, "split": {"by": "year", "test_values": [2008, 2009]}}, penguins())
    drawn = run(tmp_path / "drawn", {**config, "split": {"by": "island"}}, penguins())

    assert named.told["rows"] == {"train": 110, "test": 234}
    assert drawn.told["rows"] == {"train": 292, "test": 52}
    assert "island" not in drawn.told["columns"]
    assert "rows are kept to measure on: those with" in capsys.readouterr().out


def test_a_class_that_is_in_no_row_to_learn_from_is_not_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"target": "species", "algorithm": "linear", "split": {"by": "island", "test_values": ["Dream"]}}

    done = run(tmp_path, config, penguins())

    assert done.schema["classes"] == ["Adelie", "Gentoo"]
    assert done.told["rows"] == {"train": 220, "test": 56}
    assert "68 rows kept to measure on are left out: `species` is `Chinstrap` in them" in capsys.readouterr().out


def test_a_class_that_a_fold_cannot_learn_is_named(tmp_path: Path) -> None:
    table = "x,y\n" + "".join(f"{number},{'c' if number == 7 else 'ab'[number % 2]}\n" for number in range(40))
    config = {"target": "y", "algorithm": "linear", "split": {"test": 0}, "cross_validation": 4}

    with pytest.raises(ContractError, match="all rows of the class `c` are kept apart"):
        run(tmp_path, config, table)


def test_rows_to_measure_on_may_come_in_a_channel_of_their_own(tmp_path: Path) -> None:
    held_out = (INCOME / "held_out.csv").read_text()

    done = run(tmp_path, {"target": "income", "algorithm": "linear"}, income(), held_out)

    assert done.told["rows"] == {"train": 1500, "test": 1500}
    assert done.metrics["roc_auc"] > 0.85


def test_affairs_of_6366_women_where_numbers_are_categories(tmp_path: Path) -> None:
    table = package_file("statsmodels", "datasets/fair/fair.csv").read_text()
    config = {"target": "affairs", "algorithm": "lightgbm", "categorical": ["occupation", "occupation_husb"]}

    done = run(tmp_path, {**config, "metrics": ["rmse", "r2"], "model_params": SMALL["lightgbm"]}, table)

    kinds = {field["name"]: field["type"] for field in done.schema["input"]}
    assert kinds["occupation"] == kinds["occupation_husb"] == "str"
    assert kinds["age"] == "float"
    assert set(done.metrics) == {"rmse", "r2", "train:rmse", "train:r2"}
    assert done.told["rows"] == {"train": 5092, "test": 1274}


@pytest.mark.parametrize("algorithm", ["xgboost", "lightgbm", "catboost", "linear"])
def test_columns_may_have_any_name(algorithm: str, tmp_path: Path) -> None:
    table = penguins().replace("bill_length_mm", "bill [mm], long").replace("island", 'the "island": <name>')
    table = table.replace('the "island": <name>', '"the ""island"": <name>"').replace(
        "bill [mm], long", '"bill [mm], long"'
    )
    config = {"target": "species", "algorithm": algorithm, "model_params": SMALL.get(algorithm, {})}
    done = run(tmp_path, {**config, "metrics": ["accuracy"]}, table)

    columns = [["Biscoe", "Dream"], [39.1, 50.0], [18.7, 19.0], [181.0, 200.0], [3750.0, 4000.0], ["male", None]]
    rows = [np.array(cells) if isinstance(cells[0], float) else cells for cells in [*columns, [2007.0, 2009.0]]]
    assert [field["name"] for field in done.schema["input"]][:2] == ['the "island": <name>', "bill [mm], long"]
    assert len(loaded(done).score(rows)) == 4
    assert done.metrics["accuracy"] > 0.9
    assert "&lt;name&gt;" in done.report


RELEASE_ML = {
    "model_params": {"iterations": 40, "eval_metric": "AUC", "early_stopping_rounds": 20, "random_seed": 3},
    "data_params": {
        "pos_class": ">50K",
        "cat_features": ["workclass", "education", "marital_status", "occupation", "relationship"],
        "target": "income",
        "metrics": ["roc_auc", "accuracy", "lift", "hosmer_lemeshow"],
    },
}


@pytest.mark.parametrize("again", [False, True], ids=["boto3", "sdk"])
def test_params_of_release_ml_are_hyperparameters_as_they_are(again: bool, tmp_path: Path) -> None:
    sent = {name: json.dumps(value) for name, value in RELEASE_ML.items()}
    if again:
        sent = {name: json.dumps(text) for name, text in sent.items()}

    done = run_hyperparameters(tmp_path, sent, {"training": income()})

    assert set(done.files()) == {"model.cbm", "schema.json"}
    assert {"roc_auc", "accuracy", "lift", "hosmer_lemeshow", "hosmer_lemeshow_p"} <= set(done.metrics)
    assert done.schema["classes"] == ["<=50K", ">50K"]
    assert 1 < done.metrics["lift"] <= 10


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"algorithm": "forest", "model_params": {"n_estimator": 5}}, r"Did you mean `n_estimators`\?"),
        ({"algorithm": "catboost", "model_params": {"iteration": 5}}, r"Did you mean `iterations`\?"),
        ({"algorithm": "linear", "model_params": {"C": -1}}, "linear could not be trained: InvalidParameterError"),
        ({"algorithm": "catboost", "model_params": {"depth": 99}}, "catboost could not be trained: CatBoostError"),
        ({"features": ["age", "hours"]}, "features `hours` is not a column"),
        ({"split": {"by": "education", "test_values": ["Kindergarten"]}}, "no row has `Kindergarten` in `education`"),
        ({"split": {"by": "age"}, "cross_validation": 50, "features": ["age"], "exclude": ["age"]}, "in `exclude`"),
    ],
)
def test_what_only_the_job_can_find_fails_it_with_the_fix(config: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=said):
        run(tmp_path, {"target": "income", **config}, income(200))


def on_two_hosts(root: Path, distribution: str, host: str = "algo-1") -> Job:
    """A job of two hosts, as one of them sees it."""
    given = TrainingInput(
        flatten({"target": "income", "algorithm": "tree"}),
        {"train": Channel(distribution=distribution)},
        Cluster(current_host=host, hosts=("algo-1", "algo-2")),
    )
    write_training(root, given)
    (root / "input" / "data" / "train" / "rows.csv").write_text(income(300))
    return Job.read(TrainingEnviron(base_dir=str(root)))


def test_on_several_hosts_the_first_trains_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_by_config(on_two_hosts(tmp_path / "first", "FullyReplicated"))
    first = capsys.readouterr().out
    train_by_config(on_two_hosts(tmp_path / "second", "FullyReplicated", "algo-2"))

    assert "runs on one host: algo-1 trains, the other 1 of 2 hosts do nothing; InstanceCount 1 costs less" in first
    assert "algo-2 has nothing to do" in capsys.readouterr().out
    assert (tmp_path / "first" / "model" / "model.joblib").is_file()
    assert not (tmp_path / "second" / "model" / "model.joblib").exists()


def test_rows_that_are_spread_over_hosts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="channel train is spread over 2 hosts"):
        train_by_config(on_two_hosts(tmp_path, "ShardedByS3Key"))


def test_boosting_takes_a_column_that_is_empty_in_some_fold_or_in_all_rows(tmp_path: Path) -> None:
    rows = "".join(f"{number},{number if number == 7 else ''},,{number % 2}\n" for number in range(60))
    config = {"target": "y", "algorithm": "boosting", "model_params": {"max_iter": 3}, "cross_validation": 5}
    done = run(tmp_path, config | {"split": {"test": 0}}, f"x,once,never,y\n{rows}")
    model = loaded(done)

    assert [field["name"] for field in done.schema["input"]] == ["x", "once"]
    assert len(model.predict(np.array([[1.0, np.nan], [2.0, 7.0]]))) == 2
    assert "`never` is left out: it is empty in every row" in done.report


class Counted:
    """A fitted model that counts how often it is asked."""

    def __init__(self, fitted: Any) -> None:
        self.importance, self.gains, self._fitted, self.asked = fitted.importance, fitted.gains, fitted, 0

    def predict(self, frame: Any) -> Any:
        self.asked += 1
        return self._fitted.predict(frame)


def test_what_matters_in_a_wide_table_is_found_without_shuffling_every_column() -> None:
    draw = np.random.RandomState(0)
    frame = pandas.DataFrame(draw.rand(300, 150), columns=[f"c{number}" for number in range(150)])
    target = (frame.c123 > 0.5).astype(int).to_numpy()
    fields = tuple(Field(name, "float") for name in frame)
    setup = Setup("boosting", {"max_iter": 5}, fields, ("no", "yes"), 0)
    with threadpool_limits(1):  # see fitting_lab.run
        model = Counted(fit(setup, Part(frame, target), None))
        found = importance(model, frame, Outcome(target, model.predict(frame), ("no", "yes")), 0)  # type: ignore[arg-type]

    assert max(found, key=lambda name: found[name]) == "c123"
    assert list(found) == list(frame)
    assert model.asked < 105


def test_the_report_of_many_classes_shows_which_are_mixed_up(tmp_path: Path) -> None:
    chance = np.random.RandomState(0)
    classes = chance.randint(0, 30, 1500)
    rows = [f"{number + 1.3 * chance.rand():.3f},<{number:02}>\n" for number in classes]
    config = {"target": "kind", "algorithm": "tree", "model_params": {"min_samples_leaf": 5}}
    report = run(tmp_path, config, "x,kind\n" + "".join(rows)).report

    assert 'class="confusion shades"' in report
    assert re.search(r'title="&lt;\d\d&gt; taken for &lt;\d\d&gt;: \d+"', report)
    assert "Mixed up most" in report
    assert report.count("Shown are the 6 most frequent of 30 classes.") == 2
