"""Makes .cache/validators, an environment with the validators of what is exported; again when it changes.

python tests/ship/validators_environment.py
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "validators"
PACKAGES = ("cfn-lint==1.58.0", "check-jsonschema==0.39.0", "moto[cloudformation,server]==5.2.5", "python-hcl2==8.1.4")


def make_environment() -> Path:
    """Its folder of programs, ready to use; waits where another process is making it."""
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
    return FOLDER / "bin"


if __name__ == "__main__":
    print(make_environment())
