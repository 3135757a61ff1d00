"""The AWS SDK for JavaScript, unmodified, against a server that runs no container."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from venvs import CACHE, CLIENTS

PROGRAM = CLIENTS.parent / "programs" / "with_javascript.mjs"


def installed() -> Path:
    """A folder with the SDK's packages, as clients/javascript.json pins them."""
    folder = CACHE / "clients" / "javascript"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (CLIENTS / "javascript.json").read_text()
    made_from = folder / "made-from"
    if not (made_from.is_file() and made_from.read_text() == wanted):
        (folder / "package.json").write_text(wanted)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True)
        made_from.write_text(wanted)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="node and npm are not installed")
def test_the_javascript_sdk_stores_lists_deploys_and_invokes(tmp_path):
    program = shutil.copy(PROGRAM, installed())
    environ = {**os.environ, "SEAPROOF_INSTANT": "1"}

    done = subprocess.run(
        [sys.executable, "-m", "seaproof.cli", "run", "--", "node", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env=environ,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "object hello me",
        "listed a b/ü+.txt",
        "model any true",
        "answer echo",
        "refused ValidationException",
    ]
