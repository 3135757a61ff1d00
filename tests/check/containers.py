"""Small real containers for the tests of the checks: one good server in Python, its faulty brothers, and archives.

Each is a folder that the process driver runs, as an image would be: `serve` and `train` are executables.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from seaproof.check.check import Report
from seaproof.check.options import Options, Payload
from seaproof.check.runner import run_checks

UNHURRIED: dict[str, Any] = {
    "patience": 60.0,
    "startup_seconds": 300.0,
    "stop_seconds": 30.0,
    "invocation_seconds": 60.0,
}
"""Time enough for a good container not to be warned of, however busy the machine is."""

SEEN: set[tuple[str, str]] = set()
"""Checks with their outcomes, since a test began: what `bad` and `good` marks are held against."""
BASE_IMAGE = "seaproof-base:latest"
BINDS = '[project]\nimage = "it"\n[images.it]\nfolder = "."\naccept_bind_to_port = true\n'
ROW = Payload(b"1,2,3\n", "text/csv", "text/csv")

SERVER = """#!/usr/bin/env python3
import os, signal, sys, threading, time
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT") or 8080)
%(start)s

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def answer(self, status, body=b"", kind="text/csv"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        %(ping)s

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        %(invoke)s

    def log_message(self, *args):
        pass

class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

%(serve)s
"""
PING = 'self.answer(200 if self.path == "/ping" else 404)'
INVOKE = """kind = self.headers.get("Content-Type", "").partition(";")[0]
        if kind != "text/csv":
            return self.answer(415, b"text/csv only")
        try:
            rows = [[float(cell) for cell in line.split(",")] for line in body.decode().splitlines()]
        except ValueError as error:
            return self.answer(400, str(error).encode())
        self.answer(200, b"".join(b"%g\\n" % sum(row) for row in rows))"""
SERVE = """signal.signal(signal.SIGTERM, lambda *args: sys.exit(0))
Server(("0.0.0.0", port), Handler).serve_forever()"""


def server(start: str = "", ping: str = PING, invoke: str = INVOKE, serve: str = SERVE) -> str:
    """A serving program; each argument replaces one part of the good one."""
    return SERVER % {"start": start, "ping": ping, "invoke": invoke, "serve": serve}


def folder(root: Path, **files: str | bytes) -> Path:
    """A container as a folder: `serve` and `train` are made executable; `_` in a name stands for a dot."""
    root.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = root / (name if name in ("serve", "train", "Dockerfile") else name.replace("_", "."))
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(0o755 if name in ("serve", "train") else 0o644)
    return root


def prove(target: Path | str, *only: str, **options: Any) -> Report:
    """Check it with the patience of a test."""
    given = {
        "driver": "process",
        "patience": 8.0,
        "startup_seconds": 2.0,
        "stop_seconds": 1.5,
        "stop_job_seconds": 1.5,
        "invocation_seconds": 3.0,
        "payload": ROW,
        "memory": 512 * 1024 * 1024,
        "disk": 48 * 1024 * 1024,
        "invocations": 200,
        **options,
    }
    report = run_checks(str(target), Options(only=only, **given))
    SEEN.update((result.check.id, result.outcome) for result in report.results)
    return report


def outcome(report: Report, id: str) -> str:
    """What came of one check, with its reason where a test fails."""
    found = next(result for result in report.results if result.check.id == id)
    return found.outcome


def causes(report: Report, id: str) -> str:
    """What one check found, as one text."""
    return "; ".join(f.cause for result in report.results if result.check.id == id for f in result.findings)


def archive(path: Path, *members: tarfile.TarInfo | tuple[str, bytes], mode: str = "w:gz") -> Path:
    """A tar of members: a name with its content, or a TarInfo as it is."""
    with tarfile.open(path, mode) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    """A member that is a link."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def judged(root: Path, id: str, program: str, **options: Any) -> tuple[str, str]:
    """What one check makes of a serving program: its outcome, and what it found."""
    folder(root, serve=program)
    report = prove(root, id, **{"roles": ("realtime", "serverless"), **options})
    return outcome(report, id), causes(report, id)


def in_c(root: Path, program: str) -> Path:
    """A container whose `serve` is a program in C."""
    folder(root, main_c=program)
    subprocess.run(["gcc", "-O1", "-o", str(root / "serve"), str(root / "main.c")], check=True)
    return root
