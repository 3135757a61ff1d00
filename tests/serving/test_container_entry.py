"""`seaproof-container` itself: its words, its help, and what importing it brings along."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"


def python(*words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True, timeout=20, check=False)


def modules_after(statement: str) -> set[str]:
    """The modules that a statement imports into a bare interpreter."""
    code = f"import sys; before = set(sys.modules); {statement}; import json; "
    code += "print(json.dumps(sorted(set(sys.modules) - before)))"
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("words", [(), ("deploy",), ("--port", "80")])
def test_a_missing_or_unknown_word_is_said_in_one_line(words: tuple[str, ...]) -> None:
    done = python("-m", "seaproof.container", *words)

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "serve" in done.stderr
    assert "--help" in done.stderr


def test_help_names_the_functions_and_the_variables() -> None:
    done = python("-m", "seaproof.container", "--help")

    assert (done.returncode, done.stderr) == (0, "")
    for word in ("serve", "train", "model_fn(model_dir)", "SAGEMAKER_PROGRAM", "ENTRYPOINT", "SEAPROOF_LOAD"):
        assert word in done.stdout


def test_a_link_named_serve_or_train_needs_no_word(tmp_path: Path) -> None:
    link = tmp_path / "train"
    link.write_text("import sys\nfrom seaproof.container import main\nsys.exit(main())\n")
    (tmp_path / "train.py").write_text("print('trained')\n")
    (tmp_path / "ml").mkdir()
    env = {**os.environ, "PYTHONPATH": str(SOURCE), "SAGEMAKER_BASE_DIR": str(tmp_path / "ml")}

    done = subprocess.run(
        [sys.executable, str(link)], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=20, check=False
    )

    assert (done.returncode, done.stdout) == (0, "trained\n")


def test_importing_the_entry_brings_nothing_heavy() -> None:
    brought = {name for name in modules_after("import seaproof.container") if name.startswith("seaproof")}

    assert brought == {"seaproof", "seaproof.container", "seaproof.errors"}


def test_importing_training_brings_no_server() -> None:
    brought = modules_after("import seaproof.training.entry")

    assert not {"asyncio", "uvloop", "httptools", "numpy", "seaproof.serving", "seaproof.http"} & brought


def test_importing_serving_brings_no_numeric_library_and_no_tool() -> None:
    brought = modules_after("import seaproof.serving.master")

    assert not {"seaproof.serving.codecs", "seaproof.contract.limits", "platform"} & brought
    assert "uvloop" in brought  # once before the fork, not once in each worker
    assert not {"numpy", "pandas", "orjson", "simdjson", "sklearn", "click", "rich", "botocore", "docker"} & brought
    ours = {".".join(name.split(".")[:2]) for name in brought if name.startswith("seaproof.")}
    assert ours == {"seaproof.contract", "seaproof.errors", "seaproof.formats", "seaproof.http", "seaproof.serving"}
