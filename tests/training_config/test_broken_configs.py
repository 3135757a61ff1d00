"""Configs with mistakes: what `seaproof train` says of each, before anything runs, stands in a file beside it.

SEAPROOF_GOLDEN=write python -m pytest tests/training_config/test_broken_configs.py    writes them again
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BROKEN = Path(__file__).parent / "broken"
CONFIGS = sorted([*BROKEN.glob("*.yaml"), *BROKEN.glob("*.json")])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_mistake_is_named_with_its_line_and_the_fix_before_anything_runs(config: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "seaproof.cli", "train", str(config)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stderr.replace(str(BROKEN), "FOLDER")
    golden = config.with_suffix(".txt")
    if os.environ.get("SEAPROOF_GOLDEN") == "write":
        golden.write_text(said)

    assert done.returncode == 1
    assert said == golden.read_text()
    assert list(tmp_path.iterdir()) == []


def test_there_are_at_least_twenty_of_them() -> None:
    assert len(CONFIGS) >= 20
