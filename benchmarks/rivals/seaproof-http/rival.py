"""Ours without the serving runtime: `seaproof.http` alone gives the body back."""

from __future__ import annotations

from pathlib import Path

from rival import Run

WHAT = "seaproof.http, bare echo"
WITH_SEAPROOF = True
MODELS = ("echo",)
PAYLOADS = ("csv-row", "json-row", "csv-5mb")


def command(run: Run) -> list[str]:
    """A few lines around `seaproof.http.server.serve`."""
    script = Path(__file__).with_name("echo_server.py")
    return [run.tool("python"), str(script), str(run.port), str(run.workers)]
