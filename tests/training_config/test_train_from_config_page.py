"""docs/train-from-config.md: its configs have no mistake, its commands run."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from config_lab import INCOME, Folder
from test_algorithms import RELEASE_ML

from seaproof.contract.training_config.flat import flatten, unflatten
from seaproof.training_file.check import look
from seaproof.training_file.read import read_training_file

PAGE = (Path(__file__).parents[2] / "docs" / "train-from-config.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(open_path: Path) -> Iterator[Folder]:
    """A folder with all that the page speaks of; what was started in it is ended."""
    made = Folder(open_path)
    made.write("income.csv", (INCOME / "train.csv").read_text())
    made.write("rows.csv", "".join((INCOME / "held_out.csv").read_text().splitlines(keepends=True)[:9]))
    made.write("params.json", json.dumps(RELEASE_ML))
    for text in blocks("yaml"):
        made.write(text.partition("\n")[0].removeprefix("# "), text)
    yield made
    made.run("down", check=False)


def test_the_configs_have_no_mistake(folder: Folder) -> None:
    for name in ("config.yaml", "all.yaml"):
        file = read_training_file(folder.root / name)
        assert file.problems == []
        assert look(file.config, folder.root)[1] == []


def test_the_hyperparameters_are_those_of_the_config(folder: Folder) -> None:
    (sent,) = map(json.loads, blocks("json"))
    given = dict(read_training_file(folder.root / "config.yaml").given)
    del given["data"]

    assert flatten(given) == sent
    assert unflatten(sent) == given


def test_the_commands_run(folder: Folder) -> None:
    said = []
    for line in "".join(blocks("sh")).splitlines():
        program, *words = shlex.split(line)
        assert program == "seaproof"
        said.append(folder.run(*words).stdout)

    assert "Which of 2 classes is `income`" in said[0]
    assert "report.html" in said[1]
    assert "is in service" in said[2]
    assert set(said[3].split()) <= {"<=50K", ">50K"}
    assert len(said[3].split()) == 8
    assert (folder.root / "predictions" / "rows.csv.out").read_text().split() == said[3].split()
    assert "hosmer_lemeshow_p" in said[-1]
