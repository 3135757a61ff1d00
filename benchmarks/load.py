"""Drives one server with wrk: one body, so many connections, so many seconds; what came of it as a Measurement."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from processes import Server

SCRIPT = Path(__file__).with_name("wrk.lua")


class LoadFailed(Exception):
    """wrk could not run, or the server answered with errors."""


@dataclass(frozen=True)
class Measurement:
    """One run of wrk. Times in milliseconds, CPU in cores."""

    requests_per_second: float
    p50: float
    p90: float
    p99: float
    server_cpu: float
    client_cpu: float
    other_cpu: float
    """Cores that something else on the machine kept busy meanwhile: near 0, or the figures are worth little."""
    failed: int
    """Requests that ended without a 2xx or 3xx status."""


def measure(
    server: Server, path: str, body: Path, content_type: str, accept: str, connections: int, seconds: int
) -> Measurement:
    """Load the server; LoadFailed if nothing succeeded."""
    wrk = shutil.which("wrk")
    if not wrk:
        raise LoadFailed("wrk is not installed; on Debian: apt-get install wrk")
    url = f"http://127.0.0.1:{server.port}{path}"
    # One thread: on a small machine every further one is taken from the server.
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", str(SCRIPT), url, "--"]
    cpu, machine = server.cpu(), _machine_cpu()
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen([*command, str(body), content_type, accept], stdout=output, stderr=output)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode()
    cpu, machine = server.cpu() - cpu, _machine_cpu() - machine
    line = next((line for line in text.splitlines() if line.startswith("SUMMARY ")), "")
    if not line:
        raise LoadFailed(f"wrk ended with {child.returncode}: {text[-500:]}")
    summary = json.loads(line.removeprefix("SUMMARY "))
    failed = sum(summary[kind] for kind in ("refused", "broken", "timeouts", "bad_status"))
    client = usage.ru_utime + usage.ru_stime
    good = summary["requests"] - summary["bad_status"]
    if good <= 0:
        raise LoadFailed(f"no request succeeded: {line}")
    return Measurement(
        requests_per_second=good / summary["seconds"],
        p50=summary["p50"],
        p90=summary["p90"],
        p99=summary["p99"],
        server_cpu=cpu / summary["seconds"],
        client_cpu=client / summary["seconds"],
        other_cpu=max(0.0, machine - cpu - client) / summary["seconds"],
        failed=failed,
    )


def ask(server: Server, path: str, body: bytes, content_type: str, accept: str, times: int) -> bytes:
    """The last of so many replies, each on a connection of its own, so that every worker has loaded what it needs.

    LoadFailed for any that is not 200.
    """
    reply = b""
    for _ in range(times):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        try:
            connection.request("POST", path, body, {"Content-Type": content_type, "Accept": accept})
            response = connection.getresponse()
            reply = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise LoadFailed(f"no reply: {error!r}") from error
        finally:
            connection.close()
        if response.status != 200:
            raise LoadFailed(f"status {response.status}: {reply[:300]!r}")
    return reply


def _machine_cpu() -> float:
    """Seconds of CPU that the whole machine has spent on processes, since it started."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    user, nice, system = map(int, fields[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")
