"""Environments of other people's clients, one each, below .cache/clients; made when a test first needs one."""

from __future__ import annotations

import subprocess
import sys
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MAKE = ROOT / "tests" / "examples" / "classic_environment.py"


@lru_cache
def python_with(name: str) -> Path:
    """The interpreter of an environment that has what `clients/<name>.txt` pins."""
    folder = ROOT / ".cache" / "clients" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, MAKE, folder, HERE / "clients" / f"{name}.txt"], check=True)
    return folder / "bin" / "python"
