"""A local server as a process of its own, with boto3 in front of it and a real program as its container."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3

from seaproof.api.client import Client, find

# Answers with what it got, in capitals. A body with what is in the file `hold` waits; one that is longer than the
# number in `most` is refused unread, as nginx does it. `asked` has a line for each request, `starts` one for each
# process. They lie in HERE, as a container sees a folder of its own for its program.
SERVE = """#!/usr/bin/env python3
import http.server, os, pathlib, time
here = pathlib.Path("HERE")

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "text/csv")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200 if self.path == "/ping" else 404, b"")

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def do_POST(self):
        if (here / "most").exists() and int(self.headers["Content-Length"]) > int((here / "most").read_text()):
            self.close_connection = True
            return self.answer(413, b"<h1>413 Request Entity Too Large</h1>")
        body = self.body()
        with open(here / "asked", "ab") as file:
            file.write(body.partition(b"\\n")[0] + b"\\n")
        while (here / "hold").exists() and (here / "hold").read_bytes() in body:
            time.sleep(0.02)
        if b"bad" in body:
            return self.answer(400, b"a bad row")
        if b"die" in body:
            os._exit(3)
        self.answer(200, body.upper())

    def log_message(self, *args):
        pass

with open(here / "starts", "a") as file:
    file.write("started\\n")
port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", 8080))
http.server.ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()
"""
PROJECT = """
[project]
name = "batch"
image = "capitals"

[images.capitals]
folder = "capitals"
accept_bind_to_port = true
"""
ROLE = "arn:aws:iam::000000000000:role/any"


def make_project(root: Path) -> Path:
    """A project with the image `capitals`; the folder of `hold` and `asked`."""
    program = root / "capitals"
    program.mkdir(parents=True)
    (program / "serve").write_text(SERVE.replace("HERE", str(root)))
    (program / "serve").chmod(0o755)
    (root / "seaproof.toml").write_text(PROJECT)
    return root


def asked(here: Path) -> list[bytes]:
    """The first line of each request, in the order of arrival."""
    path = here / "asked"
    return path.read_bytes().splitlines() if path.exists() else []


def starts(here: Path) -> int:
    """How often a container of it was started."""
    return len((here / "starts").read_text().split())


def processes(here: Path) -> list[int]:
    """What runs of the project: processes that have its folder in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        # One that has ended meanwhile has no command line.
        with suppress(OSError):
            if entry.name.isdigit() and os.fsencode(here) in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


@contextmanager
def server(root: Path) -> Iterator[tuple[Client, subprocess.Popen[bytes]]]:
    """`seaproof up` in the project, and its process; ended gently where it still runs."""
    command = [sys.executable, "-m", "seaproof.cli", "up", "--foreground", "--driver", "process", "--port", "0"]
    with (
        (root / "log").open("ab") as log,
        subprocess.Popen([*command, "--project", root], stdout=log, stderr=log) as process,
    ):
        try:
            deadline = time.monotonic() + 60
            while (client := find(root / ".seaproof")) is None:
                assert process.poll() is None, (root / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            with client:
                yield client, process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)


def sagemaker(url: str) -> Any:
    """boto3's client, unmodified."""
    options = {"region_name": "us-east-1", "aws_access_key_id": "any", "aws_secret_access_key": "any"}
    return boto3.client("sagemaker", endpoint_url=url, **options)
