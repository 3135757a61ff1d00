"""docs/batch-transform.md does what it says: its commands are run, one after another."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "batch-transform.md"


def commands() -> list[str]:
    """The lines of the page's first block for a shell; that of the cluster needs Ray."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines: list[str] = blocks[0].splitlines()
    return lines


def test_the_commands_of_the_page_run_in_order_and_leave_what_they_say(tmp_path: Path) -> None:
    tool = tmp_path / "bin" / "seaproof"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m seaproof.cli "$@"\n')
    tool.chmod(0o755)
    path = os.pathsep.join([str(tool.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    script = "set -e\n" + "\n".join(commands())

    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "SEAPROOF_DRIVER": "process", "SEAPROOF_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    project = tmp_path / "flowers"
    rows = (project / "data" / "sample.csv").read_text().splitlines()
    predicted = (project / "predictions" / "sample.csv.out").read_text().splitlines()
    joined = (project / "joined" / "sample.csv.out").read_text().splitlines()
    assert len(predicted) == len(rows)
    assert joined == [f"{row.split(',')[0]},{label}" for row, label in zip(rows, predicted, strict=True)]
    assert len((project / "checked" / "train.csv.out").read_text().splitlines()) == 135
    assert re.search(r"train\.csv +1 +0\.0 +0", done.stdout)
