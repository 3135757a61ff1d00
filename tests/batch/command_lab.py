"""`seaproof transform` as a user types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def environment() -> dict[str, str]:
    return {**os.environ, "SEAPROOF_PORT": "0", "COLUMNS": "120"}


def command(root: Path, *arguments: str, check: int | None = 0) -> subprocess.CompletedProcess[str]:
    """`seaproof transform` in the project, on the process driver."""
    driver = [] if "--dry-run" in arguments else ["--driver", "process"]
    return seaproof(root, "transform", *arguments, *driver, check=check)


def seaproof(root: Path, *arguments: str, check: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Any command, in the project."""
    line = [sys.executable, "-m", "seaproof.cli", *arguments]
    done = subprocess.run(line, cwd=root, capture_output=True, text=True, timeout=100, env=environment())
    assert check is None or done.returncode == check, done.stderr
    return done
