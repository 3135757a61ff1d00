"""The benchmark: rivals side by side in one run, on the same bodies; see README.md for the method.

python benchmarks/run.py --quick
python benchmarks/run.py                            the whole plan (plan.py), from its beginning: an hour
python benchmarks/run.py --plan --minutes 8         its next slices, as far as they are begun within 8 minutes
python benchmarks/run.py --rivals seaproof,classic --models logreg --payloads csv-row --connections 64
python benchmarks/run.py --add ...                  the same as one more slice of what is there
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import Bench
from environments import environment
from goals import goals
from models import MODELS, make_models
from payloads import PAYLOADS
from plan import PLAN, Slice
from results import added, dumped
from rival import HERE, rival_names
from tables import goals_table, noise, results_tables

QUICK = Slice(
    "quick", ("nginx", "seaproof", "starlette", "classic"), ("echo", "logreg"), ("csv-row",), (1, 16, 64), 3, 1
)
ALL = Slice("asked for", tuple(rival_names()), MODELS, tuple(PAYLOADS), (1, 16, 64), 5, 3)
CHOICES = ("rivals", "models", "payloads", "connections")


def main() -> None:
    """Read the flags, run, write results.json after each slice, then results.md and the plots."""
    given = _flags()
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # which ends the servers
    make_models()
    out = Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "results.json"
    results: dict[str, Any] = {}
    if (given.add or given.plan) and kept.is_file():
        results = json.loads(kept.read_text())
    for asked in _slices(given, results):
        if given.minutes and time.monotonic() - began > 60 * given.minutes:
            break
        print(f"slice: {asked.name}", flush=True)
        bench = Bench(asked, given.workers)
        bench.run()
        results = added(results, bench.results())
        kept.write_text(dumped(results))
    if not results:
        return
    reached = goals_table(goals(results)) + noise(results)
    (out / "results.md").write_text(results_tables(results) + "\n## Goals\n\n" + reached)
    plot = environment("plot", HERE / "requirements" / "plot.txt") / "bin" / "python"
    subprocess.run([str(plot), str(HERE / "plot.py"), str(kept), str(out)], check=True)
    print(f"\n{reached}\n{out / 'results.md'} has all figures; {time.monotonic() - began:.0f} s")


def _slices(given: argparse.Namespace, results: dict[str, Any]) -> Iterator[Slice]:
    """Those of the plan that are not there yet; or the one that the flags describe."""
    if not given.plan and (given.quick or any(getattr(given, name) for name in CHOICES)):
        default = QUICK if given.quick else ALL
        chosen = [getattr(given, name) or getattr(default, name) for name in CHOICES]
        chosen[-1] = tuple(map(int, chosen[-1]))
        yield Slice(default.name, *chosen, given.rounds or default.rounds, given.seconds or default.seconds)
        return
    there = {part["name"] for part in results.get("slices", [])}
    yield from (part for part in PLAN if part.name not in there)


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choices = {"rivals": rival_names(), "models": MODELS, "payloads": list(PAYLOADS), "connections": None}
    for name, known in choices.items():
        parser.add_argument(
            f"--{name}",
            type=lambda text, name=name, known=known: _choice(name, text.split(","), known),  # type: ignore[misc]
            help=f"separated by commas: {','.join(known or ['1', '16', '64'])}",
        )
    parser.add_argument(
        "--quick", action="store_true", help="few rivals, echo and logreg, one CSV row, a minute or two"
    )
    parser.add_argument("--plan", action="store_true", help="go on with the plan, after the slices that are there")
    parser.add_argument(
        "--minutes", type=float, default=0, help="begin no slice of the plan after so many; 0: no limit"
    )
    parser.add_argument("--add", action="store_true", help="add to the results there, as one more slice")
    parser.add_argument("--rounds", type=int, help="runs of each (5); the median counts")
    parser.add_argument("--seconds", type=int, help="length of one run (3)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="worker processes of each server")
    parser.add_argument("--out", help="folder for the results")
    given = parser.parse_args()
    given.out = given.out or HERE / "results" / ("quick" if given.quick else "full")
    return given


def _choice(name: str, given: list[str], choices: Any) -> tuple[str, ...]:
    unknown = sorted(set(given) - set(choices or given))
    if unknown:
        raise argparse.ArgumentTypeError(f"no {name} {', '.join(unknown)}; there are: {', '.join(choices)}")
    return tuple(given)


if __name__ == "__main__":
    main()
