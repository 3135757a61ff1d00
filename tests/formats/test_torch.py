"""PyTorch in the three forms that are served: what is answered is what the module says, on every row."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_lab import CSV, JSON, Container, columns_of, csv_text, free_port, model_folder, packed, same, served, table
from sklearn.datasets import load_iris

from seaproof.formats.schema import Field, Schema, write_schema
from venvs import python_with

pytestmark = pytest.mark.slow

NAMES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
FLOWERS = ("setosa", "versicolor", "virginica")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network in each form, and what it says of iris."""
    folder = tmp_path_factory.mktemp("torch")
    iris = load_iris()
    (folder / "iris.json").write_text(json.dumps({"rows": iris.data.tolist(), "target": iris.target.tolist()}))
    program = Path(__file__).with_name("train_torch.py")
    done = subprocess.run([python_with("torch"), program, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module", params=["script", "exported", "weights"])
def container(
    request: pytest.FixtureRequest, trained: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Container]:
    root = tmp_path_factory.mktemp("served")
    fields = tuple(Field(name, "float") for name in NAMES)
    shutil.copytree(trained / request.param, root / "trained")
    write_schema(root / "trained", Schema("", fields, (), classes=FLOWERS))
    packed(root / "trained", root)
    with served(root, str(python_with("torch")), SEAPROOF_NO_PICKLE="true") as running:
        yield running


def said(trained: Path) -> Any:
    return np.array(json.loads((trained / "said.json").read_text()), np.float32)


def rows() -> dict[str, list[float]]:
    return dict(zip(NAMES, load_iris().data.T.tolist(), strict=True))


def test_every_row_is_what_the_module_says(container: Container, trained: Path) -> None:
    expected = said(trained)
    plain = container.invoke(csv_text(rows()), CSV)
    answered = columns_of(container.invoke(table(rows())))

    assert np.array_equal(np.array(plain.json, np.float32), expected)
    assert answered["prediction"] == [FLOWERS[place] for place in expected.argmax(1)]
    for place, flower in enumerate(FLOWERS):
        assert same(answered[f"probability_{flower}"], expected[:, place])


def test_without_a_schema_it_takes_the_array_that_it_is_sent(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "script", model_folder(tmp_path), dirs_exist_ok=True)
    with served(tmp_path, str(python_with("torch"))) as running:
        reply = running.invoke(json.dumps(load_iris().data.tolist()), JSON)
        refused = running.invoke('{"a": "1"}', JSON)

    assert np.array_equal(np.array(reply.json, np.float32), said(trained))
    assert (refused.status, list(refused.json)) == (400, ["detail"])


def test_weights_without_their_code_are_refused(trained: Path, tmp_path: Path) -> None:
    shutil.copy(trained / "weights" / "model.safetensors", model_folder(tmp_path))
    running = Container(tmp_path, free_port())
    with pytest.raises(AssertionError), served(tmp_path, str(python_with("torch"))):
        pass

    assert "model.safetensors holds weights only, and there is no code/model.py" in running.log
