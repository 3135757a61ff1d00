"""Environments of their own for the libraries that are too large for everybody's: .cache/h2o and .cache/torch.

python tests/formats/own_environments.py h2o torch       makes them, again where their requirements have changed
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache"


def python_of(name: str) -> Path:
    """The Python of an environment, ready to use; waits where another process is making it."""
    requirements, folder = HERE / f"{name}-requirements.txt", CACHE / name
    wanted = requirements.read_text() + sys.version
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / "made-from"
        if not (stamp.is_file() and stamp.read_text() == wanted):
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
            subprocess.run([*pip, "-r", str(requirements)], check=True)
            stamp.write_text(wanted)
    return folder / "bin" / "python"


def genmodel() -> Path:
    """The jar of H2O's open runtime, which lies in the jar that lies in the package."""
    python_of("h2o")
    jar = CACHE / "h2o" / "h2o-genmodel.jar"
    if not jar.is_file():
        (whole,) = (CACHE / "h2o").glob("lib/python*/site-packages/h2o/backend/bin/h2o.jar")
        with zipfile.ZipFile(whole) as archive:
            made = jar.with_suffix(".partial")
            made.write_bytes(archive.read("www/3/h2o-genmodel.jar"))
            made.replace(jar)
    return jar


if __name__ == "__main__":
    for given in sys.argv[1:]:
        print(python_of(given))
