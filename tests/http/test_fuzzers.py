"""The fuzzers that are run by hand still fit what they fuzz: each takes its own seeds, without atheris."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ATHERIS = """
import contextlib, pathlib, sys
def instrument_imports(include):
    return contextlib.nullcontext()
def Setup(argv, once):
    global run
    run = lambda: [once(path.read_bytes()) for path in sorted(pathlib.Path(argv[-1]).iterdir())]
def Fuzz():
    print(f"Done {len(run())} runs")
"""
"""Its two functions, of which the second runs what the corpus folder holds, once."""


@pytest.mark.parametrize(
    "words",
    [
        ("tests/http/fuzz_http.py", "server"),
        ("tests/http/fuzz_http.py", "client"),
        (
            "tests/codecs/fuzz_decoders.py",
            "text/csv+application/json+application/x-npy+multipart/form-data; boundary=xx",
        ),
    ],
    ids=["server", "client", "decoders"],
)
def test_a_fuzzer_takes_its_own_seeds(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "atheris.py").write_text(ATHERIS)
    path = os.pathsep.join([str(tmp_path), str(ROOT / "src"), str(ROOT / "tests" / "codecs")])

    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[1]) > 5
