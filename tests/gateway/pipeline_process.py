"""`seaproof pipeline` as its users run it: a process, stopped by Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

PROGRAMS = Path(__file__).parent / "programs"
T = TypeVar("T")


class Pipeline:
    """A gateway that answers."""

    def __init__(self, process: subprocess.Popen[str], url: str, log: Path) -> None:
        self.process, self.url, self._log = process, url, log

    def post(self, query: str = "", body: bytes = b"{}", **headers: str) -> tuple[int, bytes]:
        return call(f"{self.url}{query}", body, headers)

    def ping(self) -> int:
        return call(self.url.replace("/pipeline", "/ping"), None, {})[0]

    def log(self) -> str:
        return self._log.read_text()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


def call(url: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, names), timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def seaproof(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One command, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "seaproof.cli", "pipeline", *arguments],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def environment() -> dict[str, str]:
    return {**os.environ, "SEAPROOF_STARTUP_TIMEOUT": "20", "SEAPROOF_STOP_ENDPOINT_GRACE": "2"}


@contextmanager
def pipeline(folder: Path, *arguments: str, startup: int = 20) -> Iterator[Pipeline]:
    """A gateway that is ready, ended with the block; `startup` is how many seconds its containers have for that."""
    variables = {**environment(), "SEAPROOF_STARTUP_TIMEOUT": str(startup)}
    log = folder / "gateway.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "seaproof.cli", "pipeline", *arguments, "--port", "0", "--json"],
            cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=output, text=True,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, log.read_text()
        yield Pipeline(process, json.loads(line)["ready"], log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.stdout.close()
        assert process.wait(30) == 0, log.read_text()


@contextmanager
def in_terminal(folder: Path, *arguments: str, port: int | None = 0) -> Iterator[Pipeline]:
    """The same as people see it: `log` is what their terminal shows. `port` None: nothing is said of it."""
    arguments += () if port is None else ("--port", str(port))
    log = folder / "gateway.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "seaproof.cli", "pipeline", *arguments],
            cwd=folder, env=environment(), stdout=output, stderr=output, text=True,
        )  # fmt: skip
    try:
        until(lambda: "Ctrl-C ends it" in log.read_text() or process.poll() is not None, 30)
        assert process.poll() is None, log.read_text()
        url = re.search(r"http://\S+/pipeline", log.read_text())
        assert url
        yield Pipeline(process, url[0], log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, log.read_text()


def until(found: Callable[[], T], seconds: float = 20.0) -> T:
    """What `found` gives once it is true."""
    deadline = time.monotonic() + seconds
    while True:
        value = found()
        if value or time.monotonic() > deadline:
            assert value
            return value
        time.sleep(0.05)
