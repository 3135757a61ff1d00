"""Makes .cache/multi-model-server, the environment of that server (it needs Java beside it); again when it changes.

python tests/gateway/multi_model_server_environment.py
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "multi-model-server"
PACKAGES = ("multi-model-server==1.1.11", "setuptools==80.9.0")


def make_environment() -> Path:
    """The environment's folder, ready to use; waits where another process is making it."""
    FOLDER.parent.mkdir(exist_ok=True)
    wanted = " ".join((*PACKAGES, sys.version))
    with FOLDER.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = FOLDER / "made-from"
        if not (stamp.is_file() and stamp.read_text() == wanted):
            shutil.rmtree(FOLDER, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
            pip = [str(FOLDER / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
            subprocess.run([*pip, *PACKAGES], check=True)
            stamp.write_text(wanted)
    return FOLDER


if __name__ == "__main__":
    print(make_environment())
