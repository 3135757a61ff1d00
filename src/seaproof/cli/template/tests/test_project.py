"""The project's own test: train on the data, look at the model, predict a row."""

import sys
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import inference
from train import train


def test_a_trained_model_names_the_flower(tmp_path):
    job = SimpleNamespace(
        model_dir=tmp_path,
        hyperparameter=lambda name, kind, default: default,
        files=lambda channel, pattern: [ROOT / "data" / "train.csv"],
    )
    train(job)

    model = inference.model_fn(tmp_path)
    rows = inference.input_fn("5.1,3.5,1.4,0.2\n", "text/csv")

    assert inference.predict_fn(rows, model) == ["setosa"]
