"""Environments for programs that cannot share the tests' own; made when a test first needs one, again when what it pins
changes.

python tests/venvs.py NAME...    these; `classic` is the one that examples/classic/seaproof.toml names
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache"
CLIENTS = ROOT / "tests" / "wire" / "clients"
FORMATS = ROOT / "tests" / "formats"
MULTI_MODEL_SERVER = ("multi-model-server==1.1.11", "setuptools==80.9.0")
"""It needs Java beside it."""

ENVIRONMENTS: dict[str, tuple[Path, tuple[str | Path, ...]]] = {
    "classic": (ROOT / "examples" / "classic" / ".venv", (ROOT / "examples" / "classic" / "requirements.txt",)),
    "multi-model-server": (CACHE / "multi-model-server", MULTI_MODEL_SERVER),
    "inference-toolkit": (
        CACHE / "inference-toolkit",
        (*MULTI_MODEL_SERVER, "sagemaker-inference==1.10.1", "boto3==1.44.5"),
    ),
    "validators": (
        CACHE / "validators",
        (
            "cfn-lint==1.58.0",
            "check-jsonschema==0.39.0",
            "moto[cloudformation,server]==5.2.5",
            "python-hcl2==8.1.4",
        ),
    ),
    "h2o": (CACHE / "h2o", (FORMATS / "h2o-requirements.txt",)),
    "torch": (CACHE / "torch", (FORMATS / "torch-requirements.txt",)),
    **{path.stem: (CACHE / "clients" / path.stem, (path,)) for path in sorted(CLIENTS.glob("*.txt"))},
}
"""Name -> where it lies, and what is in it: packages, and files of them."""


def make_environment(name: str) -> Path:
    """The environment's folder, ready to use; waits where another process is making it."""
    folder, packages = ENVIRONMENTS[name]
    told = [one.read_text() if isinstance(one, Path) else one for one in packages]
    wanted = " ".join((*told, sys.version))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / "made-from"
        if not (stamp.is_file() and stamp.read_text() == wanted):
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            # Most of what these bring is never imported: to compile all of it is half of the time.
            pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
            named = [word for one in packages for word in (["-r", str(one)] if isinstance(one, Path) else [one])]
            subprocess.run([*pip, "--no-compile", *named], check=True)
            stamp.write_text(wanted)
    return folder


def python_with(name: str) -> Path:
    """The interpreter of an environment."""
    return make_environment(name) / "bin" / "python"


if __name__ == "__main__":
    for asked in sys.argv[1:]:
        print(make_environment(asked))
