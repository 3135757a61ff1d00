"""Virtual environments of the rivals: one each below .cache/bench, made when first needed from pinned requirements."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
CACHE = REPOSITORY / ".cache" / "bench"


class CannotInstall(Exception):
    """pip could not make the environment; the message is the end of what it said."""


def environment(name: str, requirements: Path, *, with_seaproof: bool = False) -> Path:
    """The folder of the environment `name`, made again when its requirements (or seaproof's source) have changed."""
    folder = CACHE / "env" / name
    stamp = folder / "stamp"
    wanted = _digest(requirements, with_seaproof)
    if stamp.is_file() and stamp.read_text() == wanted:
        return folder
    print(f"environment of {name}: installing", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    what = ["-r", str(requirements), *([str(REPOSITORY)] if with_seaproof else [])]
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *what]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        raise CannotInstall("\n".join(done.stderr.strip().splitlines()[-5:]))
    stamp.write_text(wanted)
    return folder


def _digest(requirements: Path, with_seaproof: bool) -> str:
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode())
    if with_seaproof:
        for path in sorted((REPOSITORY / "src").rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
