"""Makes examples/classic/.venv, the environment that its seaproof.toml names; again when requirements.txt changes.

python tests/examples/classic_environment.py
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "classic"


def make_environment() -> Path:
    """The environment's folder, ready to use; waits where another process is making it."""
    folder, wanted = FOLDER / ".venv", (FOLDER / "requirements.txt").read_text() + sys.version
    with (FOLDER / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / "made-from"
        if not (stamp.is_file() and stamp.read_text() == wanted):
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
            subprocess.run([*pip, "-r", str(FOLDER / "requirements.txt")], check=True)
            stamp.write_text(wanted)
    return folder


if __name__ == "__main__":
    print(make_environment())
