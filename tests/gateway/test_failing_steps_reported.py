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
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _PassesOn)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    _write(folder, running.server_address[1])
    found: dict[str, Reported] = {}
    with in_terminal(folder, "--invocation-timeout", "4") as front:
        assert front.post("", b"nobody fails", Content_Type=CSV)[0] == 200
        for cause, body, more, kind in PROVOKED:
            if cause == "refused":
                running.shutdown()
                running.server_close()
                thread.join()
            verb = {"not-ready": b"fourth mute", "wrong-port": b"third move"}.get(cause)
            if verb:
                front.post("", verb, Content_Type=CSV)
            found[cause] = _fail(front, f"{body} ".encode() + b"1" * more, kind)
            if cause in ("died", "out-of-memory"):
                name = body.split()[0]
                until(lambda name=name: f"{name}: answers again" in front.log())  # type: ignore[misc]
    return found


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
