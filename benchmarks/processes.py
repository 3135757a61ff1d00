"""Starts a rival's server, waits for its first 200 on /ping, counts its CPU and memory from /proc, and ends it."""

from __future__ import annotations

import http.client
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class DidNotStart(Exception):
    """The server ended, or /ping was not 200 in time; the message is the end of its log."""


@dataclass
class Server:
    """One running server: its process, its port, and the seconds from start to the first 200."""

    process: subprocess.Popen[bytes]
    port: int
    ready_after: float

    def cpu(self) -> float:
        """Seconds of CPU, user and system, of the process and all below it, those that have ended included."""
        total = 0
        for pid in self.family():
            fields = _stat(pid)
            if fields:
                total += sum(map(int, fields[11:15]))
        return total / TICKS

    def memory(self) -> int:
        """Bytes of memory of the whole family, a shared page counted once (PSS)."""
        total = 0
        for pid in self.family():
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
        return total * 1024

    def family(self) -> list[int]:
        """The process and its descendants."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (fields := _stat(int(entry.name))):
                children.setdefault(int(fields[1]), []).append(int(entry.name))
        found, ahead = [], [self.process.pid]
        while ahead:
            pid = ahead.pop()
            found.append(pid)
            ahead += children.get(pid, [])
        return found


@contextmanager
def running(
    command: list[str], environ: Mapping[str, str], folder: Path, port: int, ping: str, timeout: float = 120
) -> Iterator[Server]:
    """Run a server in a session of its own; at the end SIGTERM, and SIGKILL for what is left after 10 seconds."""
    log = folder / "log"
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=dict(environ), stdout=output, stderr=output, start_new_session=True
        )
    server = Server(process, port, 0.0)
    try:
        while not _answers(port, ping):
            if process.poll() is not None or time.monotonic() - began > timeout:
                raise DidNotStart(log.read_text(errors="replace")[-2000:])
            time.sleep(0.005)
        server.ready_after = time.monotonic() - began
        yield server
    finally:
        _end(server)


def free_port() -> int:
    """A TCP port that nothing listens on; below 32,768, for multi-model-server takes none above."""
    for port in random.sample(range(20000, 32768), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free between 20000 and 32767")


def _answers(port: int, ping: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", ping)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end(server: Server) -> None:
    family = server.family()
    if server.process.poll() is None:
        server.process.terminate()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(_lives(pid) for pid in family):
        server.process.poll()
        time.sleep(0.02)
    for pid in family:
        if _lives(pid):
            os.kill(pid, signal.SIGKILL)
    server.process.wait()


def _lives(pid: int) -> bool:
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z"


def _stat(pid: int) -> list[str]:
    """What follows the name in /proc/PID/stat: state, parent, ...; empty if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []
