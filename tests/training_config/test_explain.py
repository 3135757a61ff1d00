"""`seaproof explain` says in words what a config will do.

SEAPROOF_GOLDEN=write python -m pytest tests/training_config/test_explain.py    writes what is expected again
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from config_lab import INCOME, Folder, penguins

GOLDEN = Path(__file__).parent / "explained"
CONFIGS = {
    "income": """\
data: income.csv
target: income
algorithm: catboost
model_params:
  depth: 4
split:
  test: 0.25
cross_validation: 5
early_stopping: 50
class_weights: balanced
metrics: [roc_auc, lift]
""",
    "penguins": """\
data: penguins.csv
target: body_mass_g
exclude: [island]
split:
  by: year
  test_values: [2009]
""",
    "elsewhere": """\
data: s3://seaproof/orders/
target: returned
task: classification
algorithm: forest
split: 0
class_weights:
  yes: 4
""",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_is_told_in_words(name: str, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("income.csv", (INCOME / "train.csv").read_text())
    folder.write("penguins.csv", penguins())
    folder.write("config.yaml", CONFIGS[name])
    golden = GOLDEN / f"{name}.txt"

    said = folder.run("explain", "config.yaml").stdout

    if os.environ.get("SEAPROOF_GOLDEN") == "write":
        golden.write_text(said)
    assert said == golden.read_text()
    assert not (tmp_path / ".seaproof").exists()


def test_the_training_table_of_a_project_is_a_config_too(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("penguins.csv", penguins())
    folder.write("seaproof.toml", '[training]\ndata = "penguins.csv"\ntarget = "species"\nalgorithm = "tree"\n')
    told = folder.json("explain")
    folder.write("seaproof.toml", '[training]\ndata = "penguins.csv"\n\ntarget = "specie"\ninstance_count = 1\n')
    refused = folder.run("train", check=False).stderr
    folder.write("seaproof.toml", '[training]\ninstance_type = "ml.m5.large"\n')
    nothing = folder.run("explain", check=False).stderr

    assert told["question"].startswith("Which of 3 classes is `species`: Adelie (44.2 %)")
    assert "target `specie` is not a column (seaproof.toml, line 4). Did you mean `species`?" in refused
    assert "there is no training config" in nothing
    assert json.dumps(told)
