"""Configs with mistakes: what is said of each, before anything runs, stands in a file beside it.

SEAPROOF_GOLDEN=write python -m pytest tests/training_config/test_broken_configs.py    writes them again
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from seaproof.cli.by_config import checked_config
from seaproof.cli.session import open_session
from seaproof.errors import ProjectError

BROKEN = Path(__file__).parent / "broken"
CONFIGS = sorted([*BROKEN.glob("*.yaml"), *BROKEN.glob("*.json")])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_mistake_is_named_with_its_line_and_the_fix(config: Path, tmp_path: Path) -> None:
    session = open_session(tmp_path, False)

    with pytest.raises(ProjectError) as refused:
        checked_config(session, config, {})
    said = f"seaproof: {refused.value}\n".replace(str(BROKEN), "FOLDER")
    golden = config.with_suffix(".txt")
    if os.environ.get("SEAPROOF_GOLDEN") == "write":
        golden.write_text(said)

    assert said == golden.read_text()


@pytest.mark.parametrize("command", ["train", "explain"])
def test_nothing_has_run_when_it_is_named(command: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "seaproof.cli", command, str(BROKEN / "several-at-once.yaml")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr == (BROKEN / "several-at-once.txt").read_text()
    assert list(tmp_path.iterdir()) == []


def test_there_are_at_least_twenty_of_them() -> None:
    assert len(CONFIGS) >= 20
