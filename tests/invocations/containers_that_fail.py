"""Real programs for the tests of failing steps: one HTTP server that fails as its variable FAIL says."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from seaproof.drivers.driver import Handle, Workload
from seaproof.drivers.process import ProcessDriver
from seaproof.project import FolderImage

SERVER = r"""
import os, signal, socket, sys, time, traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAIL = os.environ.get("FAIL", "")
TYPE = os.environ.get("REPLIES", "text/csv")
EXPECTS = os.environ.get("EXPECTS", "")

class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if EXPECTS and self.headers["Content-Type"] != EXPECTS:
            text = "Content type %s is not supported" % self.headers["Content-Type"]
            return self.answer(415, text.encode(), "text/plain")
        if FAIL == "no-route":
            return self.answer(404, b'{"detail":"Not Found"}', "application/json")
        if FAIL == "limit" and len(body) > 1024:
            return self.answer(413, b"body over 1024 bytes", "text/plain")
        if FAIL == "sleep":
            time.sleep(60)
        if FAIL == "die":
            print("got the request", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if FAIL == "memory":
            print("growing", flush=True)
            held = []
            while True:
                held.append(bytearray(os.urandom(4096)) * 1024)
        if FAIL == "close":
            self.close_connection = True
            return None
        if FAIL == "large":
            return self.answer(200, bytes(6 * 1024 * 1024))
        if FAIL == "raise":
            try:
                raise ValueError("could not convert string to float: 'x'")
            except ValueError:
                traceback.print_exc()
            return self.answer(500, b"Internal Server Error", "text/plain")
        self.answer(200, body)

    def answer(self, status, body, kind=TYPE):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

def babble(port):
    listener = socket.create_server(("0.0.0.0", port))
    while True:
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        connection.close()

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
if FAIL == "never-ready":
    print("loading the model", flush=True)
    time.sleep(600)
if FAIL == "babble":
    babble(port)
server = ThreadingHTTPServer(("0.0.0.0", 0 if FAIL == "wrong-port" else port), Answers)
server.daemon_threads = True
print("listening on port %d" % server.server_address[1], flush=True)
server.serve_forever()
"""


def a_driver(folder: Path, **images: FolderImage) -> ProcessDriver:
    """A driver with the server above as image `failing`."""
    program = folder / "program"
    program.mkdir(parents=True, exist_ok=True)
    (program / "server.py").write_text(SERVER, encoding="utf-8")
    failing = FolderImage(program, serve=(sys.executable, "server.py"), accept_bind_to_port=True)
    return ProcessDriver(folder / "state", {"failing": failing, **images})


def a_container(
    driver: ProcessDriver, folder: Path, name: str, memory: int | None = None, **environment: str
) -> Handle:
    """One running container of the image `failing`; it need not be ready."""
    opt_ml = folder / "opt" / name
    opt_ml.mkdir(parents=True)
    return driver.start(
        Workload(name, "failing", opt_ml, arguments=("serve",), environment=environment, port=8080, memory=memory)
    )


def the_log(driver: ProcessDriver, handle: Handle) -> str:
    """What it has printed so far."""
    return b"".join(driver.logs(handle)).decode()


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Poll, with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
