"""Containers that mean harm, or know no better: neither the check nor the machine suffers, and all is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from containers import causes, folder, outcome, prove, server

from seaproof.check.check import FAILED, PASSED, UNCHECKED
from seaproof.errors import SeaproofError
from seaproof.testing import check

FORKS = """#!/usr/bin/env python3
import os, time
while True:
    if os.fork() == 0:
        time.sleep(600)
    time.sleep(0.0005)
"""
DRIPS = """self.send_response(200); self.send_header("Content-Length", "1000"); self.end_headers()
        for _ in range(1000):
            self.wfile.write(b"x"); self.wfile.flush(); time.sleep(1)"""
DEAF = server(start="signal.signal(signal.SIGTERM, signal.SIG_IGN)").replace(
    "signal.signal(signal.SIGTERM, lambda *args: sys.exit(0))", ""
)


def left_of(root: Path) -> list[int]:
    """Processes that still name this folder on their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(root).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.bad("SP109")
@pytest.mark.good("SP007")
def test_who_forks_without_end_is_stopped(tmp_path: Path):
    begun = time.monotonic()
    report = prove(folder(tmp_path, serve=FORKS), roles=("realtime", "batch"), patience=20.0)

    assert report.exit_code in (1, 2)
    assert outcome(report, "SP109") == FAILED
    assert time.monotonic() - begun < 120
    assert left_of(tmp_path) == []


@pytest.mark.bad("SP015")
def test_who_answers_a_byte_a_second_is_cut_off(tmp_path: Path):
    roles = ("realtime", "batch", "async", "serverless", "multi-model")
    begun = time.monotonic()
    report = prove(folder(tmp_path, serve=server(invoke=DRIPS)), roles=roles)

    assert causes(report, "SP015") == "no whole answer came within 3 s"
    assert outcome(report, "SP115") == outcome(report, "SP140") == UNCHECKED
    assert time.monotonic() - begun < 120
    assert left_of(tmp_path) == []


@pytest.mark.bad("SP008")
def test_a_ping_that_drips_is_not_waited_for(tmp_path: Path):
    drips = (
        "self.send_response(200); self.end_headers()\n"
        "        while True: self.wfile.write(b'x'); self.wfile.flush(); time.sleep(0.1)"
    )
    report = prove(folder(tmp_path, serve=server(ping=drips)), "SP008", roles=("realtime",), patience=4.0)

    assert causes(report, "SP008") == "GET /ping is not answered within 2 s"


@pytest.mark.bad("SP106")
@pytest.mark.good("SP007")
def test_who_ignores_sigterm_is_gone_all_the_same(tmp_path: Path):
    report = prove(folder(tmp_path, serve=DEAF), "SP007", "SP106", roles=("realtime",))

    assert outcome(report, "SP007") == PASSED
    assert left_of(tmp_path) == []


def test_one_assertion_proves_a_folder(tmp_path: Path):
    folder(tmp_path / "good", serve=server())
    options = {"payload": b"1,2\n", "content_type": "text/csv", "driver": "process", "only": ("entry", "ping", "SP115")}

    assert check(tmp_path / "good", roles=("realtime",), **options)  # type: ignore[arg-type]
    bad = folder(tmp_path / "bad", serve=server(ping="self.answer(500)"))
    with pytest.raises(AssertionError, match="GET /ping is answered with 500"):
        assert check(bad, roles=("realtime",), patience=2.0, **options)  # type: ignore[arg-type]
    with pytest.raises(SeaproofError, match="there is no role 'endpoint'"):
        check(bad, roles=("endpoint",), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_who_ends_a_check_finds_nothing_left_of_it(tmp_path: Path, number: signal.Signals):
    (scratch := tmp_path / "scratch").mkdir()
    target = folder(tmp_path / "it", serve="#!/bin/sh\nexec sleep 600\n")
    command = [sys.executable, "-m", "seaproof.cli", "check", str(target), "--driver", "process", "--only", "SP007"]
    own = {**os.environ, "TMPDIR": str(scratch)}
    ended = subprocess.Popen(command, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not left_of(scratch):
        assert ended.poll() is None
        time.sleep(0.02)
    ended.send_signal(number)
    code = ended.wait(30)

    if number == signal.SIGKILL:  # the next one removes it
        assert left_of(scratch)
        folder(target, serve=server())
        assert subprocess.run(command, env=own, capture_output=True, check=False).returncode == 0
    else:
        assert code == 130
    assert left_of(scratch) == []
    assert list(scratch.iterdir()) == []
