"""Each way in which a step fails, provoked in one running gateway: what the caller gets and the terminal shows.

Both are held against golden files; SEAPROOF_GOLDEN=write writes them anew.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pipeline_process import PROGRAMS, Pipeline, in_terminal, until

GOLDEN = Path(__file__).parent / "golden"
CSV = "text/csv"
CONTAINERS = ("first", "second", "third", "fourth")
# Cause; what the body says; further bytes; its type. From the last container to the first, as some never recover.
PROVOKED = (
    ("broken-off", "second tear", 0, CSV),
    ("not-ready", "fourth fine", 0, CSV),
    ("wrong-port", "third fine", 0, CSV),
    ("content-type-parameters", "second exact", 0, CSV),
    ("content-type", "first exact", 0, "application/json"),
    ("body-limit", "second limit", 1000, CSV),
    ("wrong-container", "first no-route", 0, CSV),
    ("container-error", "second raise", 0, CSV),
    ("closed", "second close", 0, CSV),
    ("timeout", "second sleep", 0, CSV),
    ("died", "second die", 0, CSV),
    ("out-of-memory", "first memory", 0, CSV),
    ("refused", "nobody fails", 0, CSV),
)


@dataclass
class Reported:
    """What was said of one failure."""

    status: int
    body: Any
    terminal: str


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reported]:
    """Cause -> what was said. One gateway; a container that it found at its port, and four that it started."""
    folder = tmp_path_factory.mktemp("failing")
    running = _Running()
    _write(folder, running.port)
    found: dict[str, Reported] = {}
    try:
        with in_terminal(folder, "--invocation-timeout", "4") as front:
            assert front.post("", b"nobody fails", Content_Type=CSV)[0] == 200
            for cause, body, more, kind in PROVOKED:
                found[cause] = _provoke(front, running, cause, f"{body} ".encode() + b"1" * more, kind)
    finally:
        running.stop()
    return found


def _provoke(front: Pipeline, running: _Running, cause: str, body: bytes, kind: str) -> Reported:
    verb = {"not-ready": b"fourth mute", "wrong-port": b"third move"}.get(cause)
    if verb:
        front.post("", verb, Content_Type=CSV)
    if cause == "refused":
        running.stop()
    found = _fail(front, body, kind)
    if cause == "refused" and found.body["step"]["address"] == "no address":
        # The gateway looks every 2 s by itself, and has seen it before the request.
        running.start()
        until(lambda: "running: found again" in front.log())
        return _provoke(front, running, cause, body, kind)
    if cause in ("died", "out-of-memory"):
        name = body.split()[0].decode()
        until(lambda: f"{name}: answers again" in front.log())
    return found


class _Running:
    """A container that somebody else started; it passes bodies on."""

    def __init__(self) -> None:
        self.port = 0
        self.start()
        self.port = self._server.server_address[1]

    def start(self) -> None:
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), _PassesOn)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _PassesOn(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", self.headers["Content-Type"] or "")
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def _write(folder: Path, port: int) -> None:
    (folder / "program").mkdir()
    (folder / "program" / "fails.py").write_text((PROGRAMS / "fails.py").read_text())
    entries: list[dict[str, Any]] = [{"container": "running", "port": port}]
    entries += [
        {
            "container": name,
            "folder": "program",
            "serve": [sys.executable, "fails.py"],
            "accept_bind_to_port": True,
            "environment": {"NAME": name},
        }
        for name in CONTAINERS
    ]
    (folder / "containers.json").write_text(json.dumps(entries))
    (folder / "seaproof.toml").write_text("[settings]\nmemory = 96\n")


def _fail(front: Pipeline, body: bytes, kind: str) -> Reported:
    before = len(front.log())
    status, answer = front.post("", body, Content_Type=kind)
    said = front.log()[before:]
    lines = said[said.index("POST /pipeline") :].splitlines()
    # What the gateway says of its containers meanwhile begins with seconds.
    end = next((n for n, line in enumerate(lines) if re.match(r" *\d+\.\d s  ", line)), len(lines))
    return Reported(status, json.loads(answer), "\n".join(lines[:end]))


@pytest.mark.parametrize("cause", [cause for cause, *_ in PROVOKED])
def test_a_failing_step_is_told_to_the_caller_and_shown_in_the_terminal(cause: str, reported: dict[str, Reported]):
    found = reported[cause]
    text = f"HTTP {found.status}\n{json.dumps(found.body, indent=2)}\n\nIn the terminal\n{found.terminal}\n"
    text = re.sub(r'"(seconds|connect|first_byte|total)": [\d.e-]+', r'"\1": 0.0', text)
    text = re.sub(r"\b\d+\.\d ms\b", "N ms", re.sub(r"\b\d+\.\d{3} s\b", "N s", text))
    text = re.sub(r"within \d+(\.\d+)? s\b", "within N s", text)
    text = re.sub(r"\b(0\.0\.0\.0|127\.0\.0\.1):\d+", r"\1:PORT", text)
    text = re.sub(r"\bport \d{4,5}\b(?<!8080)", "port PORT", text)
    path = GOLDEN / f"{cause}.txt"
    if os.environ.get("SEAPROOF_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")

    assert found.body["cause"] == cause
    assert text == path.read_text(encoding="utf-8")
