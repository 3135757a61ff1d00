"""The project's own test: train on the data, look at the model, predict a row."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from seaproof.errors import RequestError

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import inference
from train import train


@pytest.fixture
def model(tmp_path):
    job = SimpleNamespace(
        model_dir=tmp_path,
        hyperparameter=lambda name, kind, default: default,
        files=lambda channel, pattern: [ROOT / "data" / "train.csv"],
    )
    train(job)
    return inference.model_fn(tmp_path)


def test_a_trained_model_names_the_flower(model):
    assert inference.predict_fn([[5.1, 3.5, 1.4, 0.2]], model) == ["setosa"]


@pytest.mark.parametrize(
    "rows", [[[5.1, "x", 1.4, 0.2]], [[5.1, 3.5]], {"rows": 1}, [5.1], ["five"], [[1, 2, float("nan"), 3]]]
)
def test_what_is_no_row_of_numbers_is_the_callers_mistake(model, rows):
    with pytest.raises(RequestError) as refused:
        inference.predict_fn(rows, model)

    assert refused.value.status == 400
