"""One slice of the benchmark: all rivals started, then measured in turn, round after round."""

from __future__ import annotations

import os
import platform
import re
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from environments import CACHE, CannotInstall
from in_process import Program
from load import LoadFailed, ask, measure
from payloads import PAYLOADS
from plan import Slice
from processes import DidNotStart, Server
from rival import Rival

CONNECTIONS = {"csv-1000": (1, 16), "npy-1000": (1, 16), "csv-5mb": (1,)}
"""Concurrency for bodies of which fewer are enough to fill the machine; 1, 16 and 64 for all others."""


@dataclass
class Bench:
    """One run: what was asked for, and what came of it."""

    asked: Slice
    workers: int
    rivals: list[Rival] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    starts: list[dict[str, Any]] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    """Rivals that could not be installed or started, or that failed under load, with the reason."""

    def run(self) -> None:
        """Model by model: start all rivals that serve it, then measure them in turn, round after round."""
        self.rivals = [Rival(name) for name in self.asked.rivals]
        self._install()
        for model in self.asked.models:
            rivals = [
                rival
                for rival in self.rivals
                if model in rival.models
                and set(self.asked.payloads) & set(rival.payloads)
                and rival.name not in self.absent
            ]
            with ExitStack() as stack:
                servers = {}
                for rival in rivals:
                    server = self._start(stack, rival, model)
                    if server:
                        servers[rival.name] = (rival, server)
                for payload in self.asked.payloads:
                    for connections in CONNECTIONS.get(payload, self.asked.connections):
                        if connections in self.asked.connections:
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
        for number in range(-1, self.asked.rounds):
            for name, (rival, server) in list(taking.items()):
                body, content_type = rival.body(payload, plain), rival.content_type(payload)
                try:
                    if isinstance(server, Program):
                        if number < 0:
                            answers[name] = server.values(body)
                            _check_answer(answers, name)
                            continue
                        found = server.measure(body, self.asked.seconds)
                    elif number < 0:  # before the first round: warm up, and see that the answer is right
                        reply = ask(server, rival.path, body.read_bytes(), content_type, accept, 4 * self.workers)
                        if model != "echo":
                            answers[name] = rival.values(reply)
                            _check_answer(answers, name)
                        continue
                    else:
                        found = measure(server, rival.path, body, content_type, accept, connections, self.asked.seconds)
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
        self.absent[name] = _gist(reason)
        print(f"left out: {name}: {self.absent[name]}", flush=True)

    def results(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        asked = self.asked
        return {
            "machine": {"cores": os.cpu_count(), "processor": _processor(), "python": platform.python_version()},
            "slices": [{"name": asked.name, "rounds": asked.rounds, "seconds": asked.seconds}],
            "workers": self.workers,
            "what": {rival.name: rival.what for rival in self.rivals},
            "rows": {name: _rows(name) for name in asked.payloads},
            "runs": self.runs,
            "starts": self.starts,
            "absent": self.absent,
        }


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


def _gist(reason: str) -> str:
    """The error that a log ends with, else its last line: the rest names folders of one machine."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception): ", line)]
    return (errors or lines or ["no reason known"])[-1]
