"""Containers of different makes in one chain: C, Python's own server, and our serving."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pipeline_process import PROGRAMS, pipeline

INFERENCE = """
def model_fn(folder):
    return 10.0

def predict_fn(rows, model):
    return [[float(value) * model for value in row] for row in rows]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three programs in folders of their own: `exact` in C, `single`, and `ours` on seaproof-container."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    for name in ("exact", "single", "ours", "ours/model"):
        (tmp_path / name).mkdir()
    source = [str(PROGRAMS / "exact.c"), "-o", str(tmp_path / "exact" / "serve")]
    subprocess.run([compiler, "-D_GNU_SOURCE", *source], check=True)
    (tmp_path / "single" / "serve.py").write_text((PROGRAMS / "single.py").read_text())
    (tmp_path / "ours" / "inference.py").write_text(INFERENCE)
    return tmp_path


def _write(folder: Path, *kinds: str) -> None:
    commands = {
        "exact": {"folder": "exact", "serve": ["./serve"]},
        "single": {"folder": "single", "serve": [sys.executable, "-u", "serve.py"]},
        "ours": {
            "folder": "ours",
            "serve": [sys.executable, "-m", "seaproof.container", "serve"],
            "environment": {"SAGEMAKER_MODEL_SERVER_WORKERS": 1, "PYTHONPATH": _sources()},
        },
    }
    containers: list[dict[str, Any]] = [
        {"container": f"{kind}-{number}", "accept_bind_to_port": True, **commands[kind]}
        for number, kind in enumerate(kinds, 1)
    ]
    (folder / "containers.json").write_text(json.dumps(containers))


def _sources() -> str:
    import seaproof

    return str(Path(seaproof.__file__).parent.parent)


def test_containers_of_three_makes_form_one_chain(folder: Path):
    _write(folder, "exact", "ours", "single")
    with pipeline(folder) as front:
        status, body = front.post("?replies=all", b"1,2\n3,4\n", Content_Type="text/csv", Accept="text/csv")

    found = json.loads(body)
    assert status == 200
    assert found["exact-1"] == "1,2\n3,4\n"
    assert found["ours-2"] == [[10.0, 20.0], [30.0, 40.0]]
    assert json.loads(found["single-3"]["prepared"]) == found["ours-2"]


def test_two_containers_that_compare_types_exactly_give_415_and_the_explanation(folder: Path):
    _write(folder, "exact", "exact")
    with pipeline(folder) as front:
        status, body = front.post("", b"1,2\n", Content_Type="text/csv")

    found = json.loads(body)
    assert (status, found["step"]["name"], found["received"]["status"]) == (502, "exact-2", 415)
    assert (found["cause"], found["sent"]["content_type"]) == ("content-type-parameters", "text/csv; charset=utf-8")


def test_the_same_chain_works_where_the_second_is_on_our_serving(folder: Path):
    _write(folder, "exact", "ours")
    with pipeline(folder) as front:
        status, body = front.post("", b"1,2\n", Content_Type="text/csv", Accept="text/csv")

    assert (status, body) == (200, b"10.0,20.0\n")
