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


def make_environment(folder: Path = FOLDER, packages: tuple[str, ...] = PACKAGES) -> Path:
    """The environment's folder, ready to use; waits where another process is making it."""
    folder.parent.mkdir(exist_ok=True)
    wanted = " ".join((*packages, sys.version))
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / "made-from"
        if not (stamp.is_file() and stamp.read_text() == wanted):
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
            subprocess.run([*pip, *packages], check=True)
            stamp.write_text(wanted)
    return folder


if __name__ == "__main__":
    print(make_environment())
