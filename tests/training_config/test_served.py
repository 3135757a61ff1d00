"""A model that was trained by a config, served: it takes what its training file looked like."""

from __future__ import annotations

import csv
import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from config_lab import Folder, csv_text, penguins

CONFIG = """\
data: penguins.csv
target: species
algorithm: {}
split:
  by: year
  test_values: [2009]
"""


@pytest.fixture
def folder(open_path: Path) -> Iterator[Folder]:
    """A folder of its own; what was started in it is ended."""
    made = Folder(open_path)
    yield made
    made.run("down", check=False)


def predicted(url: str, body: str, content_type: str = "text/csv") -> list[str]:
    """What the endpoint says of a body, a line for each row."""
    request = urllib.request.Request(url, body.encode(), {"Content-Type": content_type, "Accept": "text/csv"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode()).split()


def served(folder: Folder) -> str:
    """Where the endpoint of the last job answers."""
    said = folder.run("serve", "--detach").stdout
    return said.partition(" is in service at ")[2].split()[0]


def columns_of(rows: Sequence[dict[str, str]], names: Sequence[str]) -> list[list[str]]:
    return [[row[name] for name in names] for row in rows]


@pytest.mark.parametrize("algorithm", ["catboost", "xgboost", "lightgbm"])
def test_the_served_model_takes_what_its_training_file_looked_like(folder: Folder, algorithm: str) -> None:
    folder.write("penguins.csv", penguins())
    folder.write("config.yaml", CONFIG.format(algorithm))
    trained = folder.train()
    url = served(folder)
    with io.StringIO(penguins()) as text:
        rows = [row for row in csv.DictReader(text) if row["year"] == "2009"]
    own = list(rows[0])
    features = [field["name"] for field in trained.schema["input"]]

    labels = predicted(url, csv_text(own, columns_of(rows, own)))

    right = sum(label == row["species"] for label, row in zip(labels, rows, strict=True))
    assert right / len(rows) == pytest.approx(trained.metrics["accuracy"])
    assert trained.metrics["accuracy"] > 0.9
    backwards = csv_text([*own[::-1], "note"], [[*cells, "seen"] for cells in columns_of(rows, own[::-1])])
    assert predicted(url, backwards) == labels
    headless = csv_text(own, columns_of(rows, own)).partition("\n")[2]
    assert predicted(url, headless) == labels
    alone = csv_text(features, columns_of(rows, features)).partition("\n")[2]
    assert predicted(url, alone) == labels
    assert predicted(url, json.dumps(rows), "application/json") == labels
    unseen = [{**row, "island": "Atlantis"} for row in rows]
    assert set(predicted(url, csv_text(own, columns_of(unseen, own)))) <= set(trained.schema["classes"])
    left_out = csv_text(features[1:], columns_of(rows[:1], features[1:]))
    with pytest.raises(urllib.error.HTTPError) as refused:
        predicted(url, left_out)
    assert f"the column {features[0]} is missing" in refused.value.read().decode()


def test_numbers_that_stood_for_nothing_in_training_stand_for_nothing_in_a_request(folder: Folder) -> None:
    rows = [[number, -999 if number % 3 else number, "yes" if number % 3 else "no"] for number in range(60)]
    folder.write("rows.csv", csv_text(["a", "b", "y"], rows))
    config = {"data": {"train": "rows.csv", "missing": ["-999"]}, "target": "y", "algorithm": "boosting", "split": 0}
    folder.write("config.json", json.dumps({**config, "model_params": {"min_samples_leaf": 2}}))

    folder.train("config.json")
    url = served(folder)

    expected = [row[-1] for row in rows]
    assert predicted(url, csv_text(["b", "a"], [[b, a] for a, b, _ in rows])) == expected
    assert predicted(url, csv_text(["a", "b"], [row[:2] for row in rows]).partition("\n")[2]) == expected
    assert predicted(url, json.dumps([row[:2] for row in rows]), "application/json") == expected
    assert predicted(url, json.dumps(rows), "application/json") == expected
    assert (
        predicted(url, json.dumps([{"a": a, "b": None if b < 0 else b} for a, b, _ in rows]), "application/json")
        == expected
    )


def test_a_file_of_semicolons_without_header_trains_and_is_served(folder: Folder) -> None:
    text = penguins().partition("\n")[2]
    folder.write("rows.csv", text.replace(",", ";"))
    data = {"train": "rows.csv", "header": False, "separator": ";"}
    config: dict[str, Any] = {"data": data, "target": "0", "algorithm": "tree"}
    folder.write("config.json", json.dumps(config))

    trained = folder.train("config.json")
    url = served(folder)

    assert [field["name"] for field in trained.schema["input"]] == ["1", "2", "3", "4", "5", "6", "7"]
    labels = predicted(url, text)
    assert labels[0] == "Adelie"
    assert len(labels) == 344
    without_target = "".join(line.partition(",")[2] for line in text.splitlines(keepends=True))
    assert predicted(url, without_target) == labels
    assert predicted(url, text.replace(",", ";")) == labels
    assert predicted(url, without_target.replace(",", ";")) == labels
    named = (
        ";".join("12345670")
        + "\n"
        + "".join(f"{line.partition(';')[2]};?\n" for line in text.replace(",", ";").split())
    )
    assert predicted(url, named) == labels
