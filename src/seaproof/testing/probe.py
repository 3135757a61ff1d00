"""The program that the driver contract runs: it does what its last argument says. Standard library only, one file.

    python3 probe.py exit=3,after=2

Steps are done in the order of this list, whatever their order in the argument:

    ignore_sigterm      only SIGKILL ends it
    say=text            prints one line; `complain=text` to stderr
    log=10MB            prints so much in numbered lines of 1,024 bytes
    report              writes what it sees of its world to /opt/ml/output/report.json
    write=model/x       tries to write below /opt/ml; prints `written` or `refused`
    connect=host:port   tries to connect for 30 seconds; prints `connected` or `refused`
    children=2          starts processes that ignore SIGTERM and write their heartbeat to /opt/ml/output/beat-<n>;
                        prints `children are up`
    fork=200            starts so many processes that sleep; prints `no more` where one is refused
    fill=20MB           writes so much to /tmp
    who, rights         prints its user and group, its effective capabilities
    share               makes a semaphore in shared memory; prints `shared` or `refused`
    allocate=200MB      takes memory
    answer=7000         answers TCP connections on this port with its hostname, for ever
    never_ready         lives, but never listens
    serve               HTTP on 8080 (or SAGEMAKER_BIND_TO_PORT), after `ready_after` seconds; ends with `exit` (1)
                        after `dies_after_ready` seconds
    after=2, exit=3     waits, then ends with this code
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_OPT_ML = Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml")
_UNITS = {"KB": 1024, "MB": 1024**2}
_BEAT = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    pathlib.Path(sys.argv[1]).write_text(str(time.time()))
    time.sleep(0.02)
"""


def _size(text: str) -> int:
    return int(text[:-2]) * _UNITS[text[-2:]] if text[-2:] in _UNITS else int(text)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _report() -> None:
    world = {
        "environment": dict(os.environ),
        "arguments": sys.argv[1:],
        "folder": str(Path.cwd()),
        "hostname": socket.gethostname(),
        "opt_ml": sorted(str(path.relative_to(_OPT_ML)) for path in _OPT_ML.rglob("*")),
    }
    target = _OPT_ML / "output" / "report.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(world), encoding="utf-8")


def _write(name: str) -> None:
    target = _OPT_ML / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("written", encoding="utf-8")
        _print("written")
    except OSError as error:
        _print(f"refused: {error}")


def _connect(address: str) -> None:
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + 30  # a peer that comes later has to be made first
    while True:
        try:
            with socket.create_connection((host, int(port)), timeout=2) as connection:
                _print(f"connected: {connection.recv(100).decode()}")
                return
        except OSError as error:
            if time.monotonic() > deadline or "unreachable" in str(error):
                _print(f"refused: {error}")
                return
            time.sleep(0.05)


def _children(count: int) -> None:
    (_OPT_ML / "output").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        beat = _OPT_ML / "output" / f"beat-{number}"
        subprocess.Popen([sys.executable, "-c", _BEAT, str(beat)], start_new_session=True)
        while not beat.exists():
            time.sleep(0.01)
    _print("children are up")


def _fork(count: int) -> None:
    for _ in range(count):
        try:
            if os.fork() == 0:
                time.sleep(600)
                os._exit(0)
        except OSError:
            _print("no more")
            return
        time.sleep(0.005)


def _fill(size: int) -> None:
    with Path("/tmp/filled").open("wb") as file:
        for _ in range(size // 1024**2):
            file.write(os.urandom(1024**2))


def _rights() -> None:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    _print(next(line.split()[1] for line in lines if line.startswith("CapEff")))


def _share() -> None:
    import multiprocessing

    try:
        multiprocessing.Semaphore()
        _print("shared")
    except OSError as error:
        _print(f"refused: {error.strerror}")


def _answer(port: int) -> None:
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        address = "127.0.0.1"
    with socket.create_server((address, port)) as listener:
        _print("listening")
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(name.encode())


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _reply

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    """Connections that may wait to be accepted. With the 5 of http.server, the kernel drops a burst's later ones, and
    they come a second or more late."""


def _serve(steps: dict[str, str]) -> None:
    time.sleep(float(steps.get("ready_after", 0)))
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT") or 8080)
    server = _Server(("0.0.0.0", port), _Answer)
    if "dies_after_ready" in steps:
        code = int(steps.get("exit", 1))
        threading.Timer(float(steps["dies_after_ready"]), lambda: os._exit(code)).start()
    server.serve_forever()


def main() -> None:
    """Do the steps of the last argument."""
    steps = {name: value for name, _, value in (part.partition("=") for part in sys.argv[-1].split(","))}
    if "ignore_sigterm" in steps:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "say" in steps:
        _print(steps["say"])
    if "complain" in steps:
        sys.stderr.write(steps["complain"] + "\n")
    if "log" in steps:
        for number in range(_size(steps["log"]) // 1024):
            sys.stdout.write(f"{number:01023d}\n")
        sys.stdout.flush()
    if "report" in steps:
        _report()
    if "write" in steps:
        _write(steps["write"])
    if "connect" in steps:
        _connect(steps["connect"])
    if "children" in steps:
        _children(int(steps["children"]))
    if "fork" in steps:
        _fork(int(steps["fork"]))
    if "fill" in steps:
        _fill(_size(steps["fill"]))
        _print("filled")
    if "who" in steps:
        _print(f"user {os.getuid()}, group {os.getgid()}")
    if "rights" in steps:
        _rights()
    if "share" in steps:
        _share()
    taken = bytearray(os.urandom(4096) * (_size(steps.get("allocate", "0")) // 4096))
    if "answer" in steps:
        _answer(int(steps["answer"]))
    if "serve" in steps:
        _serve(steps)
    if "never_ready" in steps or ("ignore_sigterm" in steps and "exit" not in steps):
        while True:
            time.sleep(60)
    time.sleep(float(steps.get("after", 0)))
    del taken
    sys.exit(int(steps.get("exit", 0)))


if __name__ == "__main__":
    main()
