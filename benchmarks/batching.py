"""What batching brings: python benchmarks/batching.py [seconds]

A container with scikit-learn's logistic regression, its model's own predict and no other function of the author's, with
`batch = True` and without, in turn; wrk (which must be installed) sends one row at concurrency 1, 16 and 64. The median
of three runs, requests per second and p50 in milliseconds.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression

RUNS = 3
CONNECTIONS = (1, 16, 64)
SCRIPT = "import joblib\nbatch = {batch}\ndef model_fn(folder):\n    return joblib.load(folder + '/model.joblib')\n"


def main() -> None:
    """Measure and print the table."""
    quick = sys.argv[1:] == ["--quick"]
    seconds = "1" if quick else sys.argv[1] if sys.argv[1:] else "3"
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        prepare(folder)
        print("| one row | batch | c=1 | c=16 | c=64 |\n|---|---|--:|--:|--:|")
        for name, kind in (("row.csv", "text/csv"), ("row.json", "application/json")):
            found: dict[tuple[bool, int], list[tuple[float, float]]] = {}
            for _ in range(1 if quick else RUNS):
                for batch in (False, True):
                    for connections, result in measure(folder, batch, folder / name, kind, seconds):
                        found.setdefault((batch, connections), []).append(result)
            for batch in (False, True):
                cells = [tuple(map(median, zip(*found[batch, c], strict=True))) for c in CONNECTIONS]
                shown = " | ".join(f"{rate:,.0f}; {p50:.2f}" for rate, p50 in cells)
                print(f"| {kind} | {batch} | {shown} |")


def prepare(folder: Path) -> None:
    """The model, the scripts and the bodies."""
    draw = np.random.default_rng(20)
    table = draw.normal(size=(2000, 20))
    model = LogisticRegression().fit(table, table[:, 0] + draw.normal(size=2000) > 0)
    model.classes_ = np.array([0, 1])
    for batch in (False, True):
        code = folder / str(batch) / "model" / "code"
        code.mkdir(parents=True)
        (code / "inference.py").write_text(SCRIPT.format(batch=batch))
        joblib.dump(model, code.parent / "model.joblib")
    row = [round(cell, 4) for cell in draw.normal(size=20).tolist()]
    (folder / "row.csv").write_text(",".join(map(str, row)) + "\n")
    (folder / "row.json").write_text(json.dumps([row]))


def measure(folder: Path, batch: bool, body: Path, kind: str, seconds: str) -> list[tuple[int, tuple[float, float]]]:
    """For each concurrency: requests per second, and p50 in milliseconds."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "SAGEMAKER_BASE_DIR": str(folder / str(batch)), "SAGEMAKER_BIND_TO_PORT": str(port)}
    command = [sys.executable, "-m", "seaproof.container", "serve"]
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as container:
        try:
            await_ping(port)
            return [(c, load(port, c, body, kind, seconds)) for c in CONNECTIONS]
        finally:
            container.terminate()


def await_ping(port: int) -> None:
    """Wait until the container answers; an error after 30 s."""
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def load(port: int, connections: int, body: Path, kind: str, seconds: str) -> tuple[float, float]:
    """One run of wrk; an error where one answer was not 2xx."""
    script = Path(__file__).with_name("wrk.lua")
    address = f"http://127.0.0.1:{port}/invocations"
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "-s",
        str(script),
        address,
        "--",
        str(body),
        kind,
        kind,
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    summary = json.loads(said[said.index("SUMMARY ") + 8 :])
    if summary["bad_status"] or summary["broken"]:
        raise SystemExit(f"answers that were wrong or broken: {summary}")
    return summary["requests"] / summary["seconds"], summary["p50"]


if __name__ == "__main__":
    main()
