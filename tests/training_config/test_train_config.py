"""`seaproof train config.yaml` as an analyst runs it: a real training job on real tables, without code or project."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from config_lab import INCOME, Folder, csv_text, flights, penguins


@pytest.fixture
def folder(open_path: Path) -> Iterator[Folder]:
    """A folder of its own; what was started in it is ended."""
    made = Folder(open_path)
    yield made
    made.run("down", check=False)


def test_a_table_and_a_few_lines_make_a_model_with_metrics(folder: Folder) -> None:
    folder.write("income.csv", (INCOME / "train.csv").read_text())
    folder.write("held_out.csv", (INCOME / "held_out.csv").read_text())
    data = "data:\n  train: income.csv\n  test: held_out.csv\n"
    folder.write("config.yaml", f"{data}target: income\nalgorithm: linear\n")

    trained = folder.train()

    assert {"roc_auc", "lift", "hosmer_lemeshow", "train:roc_auc"} <= set(trained.final)
    assert trained.final["roc_auc"] > 0.88
    assert "1,500 rows" in trained.output["report.html"].decode()
    assert trained.final == pytest.approx(trained.metrics, rel=1e-4)
    report = trained.output["report.html"].decode()
    for heading in ("What matters", "ROC curve", "Precision and recall", "Lift by tenths", "Calibration", "Confusion"):
        assert f"<h3>{heading}" in report
    assert "marital_status" in report
    assert not re.search(r"(src|href)=|@import|url\(", report)
    assert trained.archive.with_name("report.html").read_text() == report
    assert trained.schema["target"] == "income"
    assert trained.schema["classes"] == ["<=50K", ">50K"]
    assert {field["name"] for field in trained.schema["input"] if field["type"] == "str"} == {
        *("workclass", "education", "marital_status", "occupation", "relationship")
    }


def test_penguins_with_missing_cells_are_told_apart_in_three_classes(folder: Folder) -> None:
    folder.write("penguins.csv", penguins())
    folder.write("config.yaml", "data: penguins.csv\ntarget: species\nalgorithm: tree\ncross_validation: 3\n")
    refused = folder.run("train", "config.yaml", "-H", "algorithm=forrest", check=False).stderr

    trained = folder.train("config.yaml", "-H", "algorithm=forest", "-H", "model_params.n_estimators=40")

    assert "`forrest` is no algorithm (config.yaml). Did you mean `forest`?" in refused
    assert json.loads(trained.output["metrics.json"])["config"]["model_params"] == {"n_estimators": 40}
    assert "training forest on" in trained.log()

    assert trained.schema["classes"] == ["Adelie", "Chinstrap", "Gentoo"]
    assert trained.metrics["accuracy"] > 0.95
    assert trained.metrics["cv:accuracy"] > 0.95
    assert "lift" not in trained.metrics
    assert "fold 3 of 3" in trained.log()


def test_over_a_hundred_thousand_flights_predict_a_number(folder: Folder) -> None:
    columns = ["month", "dep_delay", "carrier", "origin", "dest", "air_time", "distance", "arr_delay"]
    folder.write("flights.csv", csv_text(columns, flights(columns, lambda row: int(row["month"]) <= 5)))
    config = "data: flights.csv\ntarget: arr_delay\nalgorithm: boosting\nmodel_params: {max_iter: 30}\n"
    folder.write("config.yaml", config + "split: {by: month, test_values: [5]}\n")

    trained = folder.train()

    with io.StringIO((folder.root / "flights.csv").read_text()) as text:
        rows = list(csv.DictReader(text))
    known = [row for row in rows if row["arr_delay"] not in ("", "NA")]
    assert len(rows) > 100_000
    assert f"read {len(rows):,} rows" in trained.log()
    assert f"{sum(row['month'] == '5' for row in known):,} rows are kept" in trained.log()
    assert trained.metrics["r2"] > 0.8
    assert set(trained.final) == {"rmse", "mae", "r2", "train:rmse", "train:mae", "train:r2"}
