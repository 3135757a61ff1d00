"""A serving container as a real process in a folder, and a client for it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

SOURCE = Path(__file__).resolve().parents[2] / "src"
T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    """One answer: headers by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Container:
    """`seaproof-container serve` with its own /opt/ml, port and log."""

    root: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    before: tuple[str, ...] = ()
    """A command that goes on with the container's, given as its last words."""

    def start(self, script: str, **environment: str) -> Container:
        """Write inference.py and start, without waiting."""
        code = self.root / "ml" / "model" / "code"
        code.mkdir(parents=True, exist_ok=True)
        (code / "inference.py").write_text(script)
        return self.restart(**environment)

    def restart(self, **environment: str) -> Container:
        """Start what lies there."""
        clean = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("SAGEMAKER_", "MODEL_SERVER", "OMP_"))
        }
        env = {
            **clean,
            "PYTHONPATH": str(SOURCE),
            "SAGEMAKER_BASE_DIR": str(self.root / "ml"),
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
            **environment,
        }
        command = [*self.before, sys.executable, "-m", "seaproof.container", "serve"]
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.root, env=env, stdout=log, stderr=subprocess.STDOUT)
        return self

    def serve(self, script: str, **environment: str) -> Container:
        """Write inference.py, start, and wait until all workers are there and /ping answers 200."""
        before = self.log.count("ready after")
        self.start(script, **environment)
        soon(lambda: self.answers() and self.log.count("ready after") > before)
        return self

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        try:
            return self.get("/ping").status == 200
        except OSError:
            return False

    def send(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """One request on a connection of its own."""
        return reply_on(self._begin(method, path, body, headers or {}))

    def _begin(
        self, method: str, path: str, body: bytes | str | None, headers: Mapping[str, str]
    ) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers))
        except BaseException:
            connection.close()
            raise
        return connection

    def get(self, path: str) -> Reply:
        return self.send("GET", path)

    def invoke(self, body: bytes | str, content_type: str = "text/csv", **headers: str) -> Reply:
        """POST /invocations; further headers with _ for -."""
        return reply_on(self.ask(body, content_type, **headers))

    def ask(self, body: bytes | str, content_type: str = "text/csv", **headers: str) -> http.client.HTTPConnection:
        """As `invoke`, but its answer is for later (`reply_on`): when this returns, all of the request was sent."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._begin("POST", "/invocations", body, {"Content-Type": content_type, **given})

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """The workers are stopped: what is sent meanwhile reaches them all at once."""
        stopped = self.workers()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)

    def wait(self, timeout: float = 20) -> int:
        assert self.process is not None
        return self.process.wait(timeout)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    @property
    def log(self) -> str:
        path = self.root / "log"
        return path.read_text() if path.exists() else ""

    def workers(self) -> list[int]:
        """The process ids of the workers that live."""
        assert self.process is not None
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]


def reply_on(connection: http.client.HTTPConnection) -> Reply:
    """The answer to the request that was sent on this connection, which ends with it."""
    try:
        answer = connection.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def soon(condition: Callable[[], T], seconds: float = 60) -> T:
    """Poll until the condition holds."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"it did not happen within {seconds} s"
        time.sleep(0.01)
    return value
