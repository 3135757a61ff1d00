"""Makes .cache/h2o, in which H2O trains MOJOs and the container serves them; again when its requirements change.

python tests/formats/h2o_environment.py
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("h2o-requirements.txt")
FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "h2o"


def make_environment() -> Path:
    """The environment's Python, ready to use; waits where another process is making it."""
    wanted = REQUIREMENTS.read_text() + sys.version
    FOLDER.parent.mkdir(exist_ok=True)
    with FOLDER.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = FOLDER / "made-from"
        if not (stamp.is_file() and stamp.read_text() == wanted):
            shutil.rmtree(FOLDER, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
            pip = [str(FOLDER / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
            subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
            _unpack_genmodel()
            stamp.write_text(wanted)
    return FOLDER / "bin" / "python"


def genmodel() -> Path:
    """The jar of H2O's open runtime."""
    return FOLDER / "h2o-genmodel.jar"


def _unpack_genmodel() -> None:
    """It lies in the jar that lies in the package."""
    (jar,) = FOLDER.glob("lib/python*/site-packages/h2o/backend/bin/h2o.jar")
    with zipfile.ZipFile(jar) as archive:
        genmodel().write_bytes(archive.read("www/3/h2o-genmodel.jar"))


if __name__ == "__main__":
    print(make_environment())
