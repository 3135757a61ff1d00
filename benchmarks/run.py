"""The benchmark: rivals side by side in one run, on the same bodies; see README.md for the method.

python benchmarks/run.py --quick
python benchmarks/run.py --rivals seaproof,classic --models logreg --payloads csv-row --connections 64
python benchmarks/run.py --add ...        a slice, added to what earlier runs measured
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from environments import CACHE, CannotInstall, environment
from goals import goals
from in_process import Program
from load import LoadFailed, ask, measure
from models import MODELS, make_models
from payloads import PAYLOADS
from processes import DidNotStart, Server
from results import added, dumped
from rival import HERE, Rival, rival_names
from tables import goals_table, noise, results_tables

QUICK = {
    "rivals": ("nginx", "seaproof", "starlette", "classic"),
    "models": ("echo", "logreg"),
    "payloads": ("csv-row",),
    "connections": (1, 16, 64),
    "seconds": 1,
    "rounds": 3,
}
CONNECTIONS = {"csv-1000": (1, 16), "npy-1000": (1, 16), "csv-5mb": (1,)}
"""Concurrency for bodies of which fewer are enough to fill the machine; 1, 16 and 64 for all others."""


@dataclass
class Bench:
    """One run: what was asked for, and what came of it."""

    rivals: list[Rival]
    models: list[str]
    payloads: list[str]
    connections: tuple[int, ...]
    rounds: int
    seconds: int
    workers: int
    runs: list[dict[str, Any]] = field(default_factory=list)
    starts: list[dict[str, Any]] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    """Rivals that could not be installed or started, or that failed under load, with the reason."""

    def run(self) -> None:
        """Model by model: start all rivals that serve it, then measure them in turn, round after round."""
        self._install()
        for model in self.models:
            rivals = [
                rival
                for rival in self.rivals
                if model in rival.models and set(self.payloads) & set(rival.payloads) and rival.name not in self.absent
            ]
            with ExitStack() as stack:
                servers = {}
                for rival in rivals:
                    server = self._start(stack, rival, model)
                    if server:
                        servers[rival.name] = (rival, server)
                for payload in self.payloads:
                    for connections in CONNECTIONS.get(payload, self.connections):
                        if connections in self.connections:
                            self._measure(model, payload, connections, servers)

    def _install(self) -> None:
        for rival in self.rivals:
            try:
                rival.install()
            except CannotInstall as error:
                self._leave_out(rival.name, f"cannot be installed: {error}")

    def _start(self, stack: ExitStack, rival: Rival, model: str) -> Server | None:
        try:
            server = stack.enter_context(rival.serving(model, self.workers))
        except (DidNotStart, OSError) as error:
            self._leave_out(f"{rival.name}, {model}", f"did not start: {error}")
            return None
        self.starts.append({"slice": 0, "rival": rival.name, "model": model, "seconds": server.ready_after})
        return server

    def _measure(
        self, model: str, payload_name: str, connections: int, servers: dict[str, tuple[Rival, Server]]
    ) -> None:
        """All rivals in turn, round after round; one that fails is left out of this cell from then on."""
        payload = PAYLOADS[payload_name]
        plain = payload.write(CACHE / "payloads")
        accept = "application/json" if payload.content_type == "application/json" else "text/csv"
        taking = {name: pair for name, pair in servers.items() if payload_name in pair[0].payloads}
        answers: dict[str, list[float]] = {}
        for number in range(-1, self.rounds):
            for name, (rival, server) in list(taking.items()):
                body, content_type = rival.body(payload, plain), rival.content_type(payload)
                try:
                    if isinstance(server, Program):
                        if number < 0:
                            answers[name] = server.values(body)
                            _check_answer(answers, name)
                            continue
                        found = server.measure(body, self.seconds)
                    elif number < 0:  # before the first round: warm up, and see that the answer is right
                        reply = ask(server, rival.path, body.read_bytes(), content_type, accept, 4 * self.workers)
                        if model != "echo":
                            answers[name] = rival.values(reply)
                            _check_answer(answers, name)
                        continue
                    else:
                        found = measure(server, rival.path, body, content_type, accept, connections, self.seconds)
                except LoadFailed as error:
                    self._leave_out(f"{name}, {model}, {payload_name}, c={connections}", str(error))
                    del taking[name]
                    continue
                where = {"rival": name, "model": model, "payload": payload_name, "connections": connections}
                self.runs.append({**where, "slice": 0, "round": number, **asdict(found), "memory": server.memory()})
        best = {name: f"{self._median(name, model, payload_name, connections):,.0f}" for name in taking}
        print(f"{model}, {payload_name}, c={connections}: {best}", flush=True)

    def _median(self, rival: str, model: str, payload: str, connections: int) -> float:
        wanted = (rival, model, payload, connections)
        found = sorted(
            run["requests_per_second"]
            for run in self.runs
            if (run["rival"], run["model"], run["payload"], run["connections"]) == wanted
        )
        return float(found[len(found) // 2])

    def _leave_out(self, name: str, reason: str) -> None:
        self.absent[name] = reason
        print(f"left out: {name}: {reason.strip().splitlines()[-1] if reason.strip() else 'no reason'}", flush=True)

    def results(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return {
            "machine": {"cores": os.cpu_count(), "processor": _processor(), "python": platform.python_version()},
            "slices": [{"rounds": self.rounds, "seconds": self.seconds}],
            "workers": self.workers,
            "what": {rival.name: rival.what for rival in self.rivals},
            "rows": {name: _rows(name) for name in self.payloads},
            "runs": self.runs,
            "starts": self.starts,
            "absent": self.absent,
        }


def main() -> None:
    """Read the flags, run, write results.json, results.md and the plots."""
    given = _flags()
    began = time.monotonic()
    make_models()
    bench = Bench(
        rivals=[Rival(name) for name in given.rivals],
        models=given.models,
        payloads=given.payloads,
        connections=tuple(map(int, given.connections)),
        rounds=given.rounds,
        seconds=given.seconds,
        workers=given.workers,
    )
    out = Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    bench.run()
    kept = out / "results.json"
    results = added(json.loads(kept.read_text()) if given.add and kept.is_file() else {}, bench.results())
    kept.write_text(dumped(results))
    reached = goals_table(goals(results)) + noise(results)
    (out / "results.md").write_text(results_tables(results) + "\n## Goals\n\n" + reached)
    plot = environment("plot", HERE / "requirements" / "plot.txt") / "bin" / "python"
    subprocess.run([str(plot), str(HERE / "plot.py"), str(out / "results.json"), str(out)], check=True)
    print(f"\n{reached}\n{out / 'results.md'} has all figures; {time.monotonic() - began:.0f} s")


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    quick = "--quick" in sys.argv[1:]

    def several(name: str, default: Any, choices: Any = None) -> None:
        parser.add_argument(
            f"--{name}",
            type=lambda text: _choice(name, text.split(","), choices),
            default=list(QUICK[name] if quick else default),  # type: ignore[call-overload]
            help=f"separated by commas; default: {','.join(map(str, default))}",
        )

    parser.add_argument(
        "--quick", action="store_true", help="few rivals, echo and logreg, one CSV row: under 3 minutes"
    )
    several("rivals", rival_names(), rival_names())
    several("models", MODELS, MODELS)
    several("payloads", PAYLOADS, list(PAYLOADS))
    several("connections", (1, 16, 64))
    parser.add_argument("--add", action="store_true", help="add to the results there, as one more slice")
    rounds = QUICK["rounds"] if quick else 5
    parser.add_argument("--rounds", type=int, default=rounds, help="runs of each; the median counts")
    parser.add_argument("--seconds", type=int, default=QUICK["seconds"] if quick else 3, help="length of one run")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="worker processes of each server")
    parser.add_argument("--out", default=str(HERE / "results" / ("quick" if quick else "full")))
    return parser.parse_args()


def _choice(name: str, given: list[str], choices: Any) -> list[str]:
    unknown = sorted(set(given) - set(choices or given))
    if unknown:
        raise argparse.ArgumentTypeError(f"no {name} {', '.join(unknown)}; there are: {', '.join(choices)}")
    return given


def _check_answer(answers: dict[str, list[float]], name: str) -> None:
    """All rivals must predict the same; the first one that answered says what."""
    first, *_ = answers
    if len(answers[name]) != len(answers[first]) or any(
        abs(one - other) > 1e-4 for one, other in zip(answers[name], answers[first], strict=True)
    ):
        raise LoadFailed(f"it predicts {answers[name][:5]}, where {first} predicts {answers[first][:5]}")


def _rows(payload: str) -> int:
    body = PAYLOADS[payload]
    return body.rows or body.write(CACHE / "payloads").read_bytes().count(b"\n")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
