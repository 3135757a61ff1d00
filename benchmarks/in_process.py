"""A rival without a server: a program that repeats the work itself, and says how it went."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load import LoadFailed, Measurement
from processes import DidNotStart, Server


@dataclass
class Program(Server):
    """The running program; it is asked with lines on its standard input."""

    def ask(self, body: Path, seconds: float) -> dict[str, Any]:
        """What it says of so many seconds with this body; LoadFailed where it has ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(f"{body} {seconds}\n".encode())
            self.process.stdin.flush()
        except OSError as error:
            raise LoadFailed(f"it has ended: {error}") from error
        line = self.process.stdout.readline()
        if not line:
            raise LoadFailed(f"it ended with {self.process.wait()}")
        told: dict[str, Any] = json.loads(line)
        return told

    def values(self, body: Path) -> list[float]:
        """Its predictions, after a first warm second."""
        return list(map(float, self.ask(body, 1.0)["values"]))

    def measure(self, body: Path, seconds: int) -> Measurement:
        """One run; of other work it knows nothing."""
        told = self.ask(body, seconds)
        told.pop("values")
        return Measurement(**told, client_cpu=0.0, other_cpu=0.0, failed=0)


@contextmanager
def running_program(command: list[str], environ: Mapping[str, str], folder: Path) -> Iterator[Program]:
    """Run it until the end of the block; DidNotStart where it never says that it is ready."""
    log = folder / "log"
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=dict(environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output
        )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise DidNotStart(log.read_text(errors="replace")[-2000:])
        yield Program(process, 0, time.monotonic() - began)
    finally:
        process.kill()
        process.communicate()
