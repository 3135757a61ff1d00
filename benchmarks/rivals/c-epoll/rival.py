"""The limit: an echo in C on epoll, which looks at nothing but the length of the body."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from processes import DidNotStart
from rival import Run

WHAT = "C on epoll, echo: the limit"
MODELS = ("echo",)
PAYLOADS = ("csv-row", "json-row")


def command(run: Run) -> list[str]:
    """Compiled here and now."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise DidNotStart("there is no C compiler; on Debian: apt-get install gcc libc6-dev")
    program = run.folder / "echo"
    subprocess.run([compiler, "-O2", "-o", str(program), str(Path(__file__).with_name("echo.c"))], check=True)
    return [str(program), str(run.port), str(run.workers)]
