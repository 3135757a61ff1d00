"""Makes examples/classic/.venv, the environment that its seaproof.toml names; again when requirements.txt changes.

python tests/examples/classic_environment.py                        that one
python tests/examples/classic_environment.py FOLDER REQUIREMENTS    another one, by the same rules
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "classic"


def make_environment(folder: Path = FOLDER / ".venv", requirements: Path = FOLDER / "requirements.txt") -> Path:
    """The environment's folder, ready to use; waits where another process is making it."""
    wanted = requirements.read_text() + sys.version
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / "made-from"
        if not (stamp.is_file() and stamp.read_text() == wanted):
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
            subprocess.run([*pip, "-r", str(requirements)], check=True)
            stamp.write_text(wanted)
    return folder


if __name__ == "__main__":
    print(make_environment(*map(Path, sys.argv[1:])))
