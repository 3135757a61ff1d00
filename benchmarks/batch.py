"""Batch transform: a job against the splitter and sender of SageMaker SDK v2, and against the limit; memory; Ray.

python benchmarks/batch.py [--megabytes 500] [--rounds 5] [--only echo,header,logreg,catboost,sparse,ray]
python benchmarks/batch.py --quick          30 MB, one round, the logistic regression and the header

Every side of a comparison asks the same server, round by round in turn, and medians are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from environments import CACHE, REPOSITORY
from processes import free_port, running
from rival import SERVED, Rival

HERE = Path(__file__).resolve().parent
DATA = CACHE / "models"
PARTS = ("echo", "header", "logreg", "catboost", "sparse", "ray")
QUICK = (30, 1, ("logreg", "header"))
SDK = REPOSITORY / ".cache" / "clients" / "sdk-v2"
MAKE = REPOSITORY / "tests" / "venvs.py"
WORKERS = os.cpu_count() or 1
AT_ONCE = 2 * WORKERS
"""Requests under way: what the container answers on /execution-parameters."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument(
        "--sdk-megabytes", type=int, default=2, help="what the SDK is given, in payloads of 1 MB; see README.md"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(PARTS), help="separated by commas; default: %(default)s")
    asked = parser.parse_args()
    megabytes, rounds, only = QUICK if asked.quick else (asked.megabytes, asked.rounds, asked.only.split(","))
    if unknown := sorted(set(only) - set(PARTS)):
        parser.error(f"there is no part {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    # Whoever ends it ends its servers, too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    ours = Rival("seaproof")
    env = ours.install()
    subprocess.run([env / "bin" / "python", HERE / "batch_data.py", DATA, str(megabytes)], check=True)
    rows = DATA / f"rows-{megabytes}.csv"
    subprocess.run([sys.executable, MAKE, SDK.name], check=True)
    (DATA / "echo" / "model").mkdir(parents=True, exist_ok=True)
    for name in only:
        if name in ("echo", "logreg", "catboost"):
            against_the_sdk_and_the_limit(ours, name, env, rounds, rows, part_of_it(rows, asked.sdk_megabytes))
        elif name == "header":
            with_a_header(ours, rounds, DATA / f"header-{megabytes}.csv")
        elif name == "sparse":
            memory_of_a_sparse_input(rows)
        elif name == "ray":
            for model in ("logreg", "catboost"):
                ray = [sys.executable, HERE / "batch_ray.py", str(DATA), str(rows), str(rounds), model]
                subprocess.run(ray, check=True)


def part_of_it(rows: Path, megabytes: int) -> Path:
    """The beginning of the data, for the SDK: it copies all of a payload for each line that it adds to it."""
    path = DATA / "part.csv"
    with rows.open("rb") as file:
        data = file.read(megabytes * 10**6)
    path.write_bytes(data[: data.rfind(b"\n") + 1])
    return path


def against_the_sdk_and_the_limit(rival: Rival, name: str, env: Path, rounds: int, data: Path, part: Path) -> None:
    """Round by round, in turn: ours, the SDK's on a part of the data, and for a model the limit."""
    model = name if name == "echo" else f"income-{name}"
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "sdk": [], "limit": [], "kernel": []}
    with rival.serving(model, WORKERS) as server:
        for number in range(rounds):
            runs["ours"].append(figures([sys.executable, HERE / "batch_ours.py", server.port, data, AT_ONCE]))
            if name != "echo":
                limit = [env / "bin" / "python", HERE / "batch_limit.py", DATA / model / "model", data, WORKERS]
                runs["limit"].append(figures(limit))
            runs["sdk"].append(figures([SDK / "bin" / "python", HERE / "batch_sdk.py", server.port, part, 1]))
            if name == "echo":
                runs["kernel"].append(figures([sys.executable, HERE / "batch_kernel.py", server.port, data]))
            show(
                f"  {name}, round {number + 1}",
                {f"{side}, s": each[-1]["seconds"] for side, each in runs.items() if each and side != "kernel"},
            )
    ours, sdk = middle(runs["ours"]), middle(runs["sdk"])
    rate = data.stat().st_size / ours["seconds"] / 1e6
    sdk_rate = part.stat().st_size / sdk["seconds"] / 1e6
    told = {
        "ours, s": ours["seconds"],
        "MB/s": rate,
        "SDK v2, MB/s": sdk_rate,
        "ours / SDK": rate / sdk_rate,
        "coordinator CPU, s": ours["cpu"],
        "cutting / CPU, %": 100 * ours["cutting"] / ours["cpu"],
        "cutting, ms": 1000 * ours["cutting"],
        "peak, MB": ours["peak_mb"],
        "records": ours["records"],
    }
    if runs["limit"]:
        limit = middle(runs["limit"])
        told |= {"limit, s": limit["seconds"], "limit / ours": limit["seconds"] / ours["seconds"]}
    for how in runs["kernel"][0] if runs["kernel"] else ():
        told[f"CPU of the kernel alone, {how}, s"] = statistics.median(run[how] for run in runs["kernel"])
    show(name, told)


def with_a_header(rival: Rival, rounds: int, data: Path) -> None:
    """The header repeated in each request, through the echo server."""
    with rival.serving("echo", WORKERS) as server:
        command = [sys.executable, HERE / "batch_ours.py", server.port, data, AT_ONCE, "--header"]
        ours = middle([figures(command) for _ in range(rounds)])
    show("header repeated, echo", {"ours, s": ours["seconds"], "coordinator CPU, s": ours["cpu"]})


def memory_of_a_sparse_input(small: Path) -> None:
    """10 GB with a line end in each MiB, to a server that answers one line to each request."""
    path = DATA / "sparse"
    with path.open("wb") as file:
        for end in range(1024**2, 10 * 1024**3 + 1, 1024**2):
            file.seek(end - 1)
            file.write(b"\n")
    port, folder = free_port(), CACHE / "run" / "sparse"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        environ = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
        with running([sys.executable, str(HERE / "batch_null.py"), str(port)], environ, folder, port, "/ping"):
            found = figures([sys.executable, HERE / "batch_ours.py", port, path, AT_ONCE])
            other = figures([sys.executable, HERE / "batch_ours.py", port, small, AT_ONCE])
    finally:
        path.unlink()
    megabytes = small.stat().st_size // 10**6
    show(
        "10 GB sparse",
        {"peak, MB": found["peak_mb"], f"peak of {megabytes} MB, MB": other["peak_mb"], "s": found["seconds"]},
    )


def figures(command: list[Any]) -> dict[str, Any]:
    """What a program prints as JSON."""
    environ = {**os.environ, "PYTHONPATH": f"{SERVED}:{REPOSITORY / 'src'}" if "sdk" not in str(command[1]) else ""}
    environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environ)
    if done.returncode:
        raise SystemExit(f"{command[1]} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The run of the median time."""
    return min(runs, key=lambda run: abs(run["seconds"] - statistics.median(each["seconds"] for each in runs)))


def show(name: str, told: dict[str, float]) -> None:
    print(f"{name}: " + ", ".join(f"{key} {value:,.3g}" for key, value in told.items()), flush=True)


if __name__ == "__main__":
    main()
