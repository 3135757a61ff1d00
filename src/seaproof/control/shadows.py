"""What shadow variants answered: one line for each request, in `.seaproof/shadows/<endpoint>.jsonl`, and a summary.

    {"time", "production": {"variant", "status", "type", "bytes", "seconds", "body"?}, "shadow": {the same},
     "verdict", "what"?, "largest"?}

Bodies are there where they differ, their first 512 bytes. `{"time", "missed": n}` is a line for requests that the
shadow was not asked, as it had too many under way.
"""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from seaproof.control.containers import KIND
from seaproof.control.plane import Plane
from seaproof.control.recorder import Recorder
from seaproof.http.message import Response
from seaproof.invocations.comparison import DIFFERENT, FAILED, SAME, SHOWN_BYTES, compare

EVERY = 0.5
"""Seconds between two writes."""
FILE_BYTES = 64 * 1024 * 1024
"""Of a file; it is put aside as `<endpoint>.jsonl.1` then, in place of the one before."""
LATEST = 10
"""Answers that were not the same, in a summary."""


@dataclass(frozen=True)
class Answer:
    """What one variant answered, and after how many seconds."""

    variant: str
    response: Response
    seconds: float


@dataclass(frozen=True)
class Pair:
    """Both answers to one request."""

    endpoint: str
    time: float
    production: Answer
    shadow: Answer


@dataclass(frozen=True)
class Missed:
    """A request that the shadow was not asked."""

    endpoint: str
    time: float


class Shadows:
    """Takes what shadow variants answered. Usable from any thread; `take` never waits."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._recorder: Recorder[Pair | Missed] = Recorder(plane, "shadows", self._write, EVERY)

    def take(self, pair: Pair) -> None:
        """Compare and record one pair, a moment later."""
        bodies = pair.production.response.body, pair.shadow.response.body
        self._recorder.take(pair, sum(len(body) for body in bodies if isinstance(body, bytes)))

    def miss(self, endpoint: str) -> None:
        """Count one request that the shadow would have been asked."""
        self._recorder.take(Missed(endpoint, time.time()), 64)

    def _write(self, entries: list[Pair | Missed]) -> None:
        by_endpoint: dict[str, list[str]] = {}
        missed: dict[str, list[float]] = {}
        for entry in entries:
            if isinstance(entry, Missed):
                missed.setdefault(entry.endpoint, []).append(entry.time)
            else:
                by_endpoint.setdefault(entry.endpoint, []).append(json.dumps(_entry(entry)))
        for endpoint, times in missed.items():
            line = {"time": round(times[-1], 3), "missed": len(times)}
            by_endpoint.setdefault(endpoint, []).append(json.dumps(line))
        for endpoint, lines in by_endpoint.items():
            path = _path(self._plane, endpoint)
            path.parent.mkdir(exist_ok=True)
            if path.exists() and path.stat().st_size > FILE_BYTES:
                path.replace(path.with_name(f"{path.name}.1"))
            with path.open("a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")


def summary(plane: Plane, endpoint: str) -> dict[str, Any]:
    """What the lines of an endpoint say together: counts, median seconds, and the latest answers that differ."""
    verdicts: Counter[str] = Counter()
    seconds: dict[str, list[float]] = {"production": [], "shadow": []}
    largest: list[float] = []
    latest: deque[dict[str, Any]] = deque(maxlen=LATEST)
    missed = 0
    known = plane.store.get(KIND, endpoint) is not None
    for entry in _entries(_path(plane, endpoint)) if known else ():
        if "missed" in entry:
            missed += entry["missed"]
            continue
        verdicts[entry["verdict"]] += 1
        for side, values in seconds.items():
            values.append(entry[side]["seconds"])
        if "largest" in entry:
            largest.append(entry["largest"])
        if entry["verdict"] != SAME:
            latest.append(entry)
    return {
        "compared": verdicts.total(),
        "missed": missed,
        **{verdict: verdicts[verdict] for verdict in (SAME, DIFFERENT, FAILED)},
        "largest": max(largest, default=None),
        "seconds": {side: median(values) if values else None for side, values in seconds.items()},
        "latest": list(latest),
    }


def forget(plane: Plane, endpoint: str) -> None:
    """Begin anew: what is there is of another endpoint that had this name."""
    _path(plane, endpoint).unlink(missing_ok=True)


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:  # it was killed while it wrote this line
                continue


def _entry(pair: Pair) -> dict[str, Any]:
    found = compare(pair.production.response, pair.shadow.response)
    entry: dict[str, Any] = {"time": round(pair.time, 3), "verdict": found.verdict}
    if found.what:
        entry["what"] = found.what
    if found.largest is not None:
        entry["largest"] = found.largest
    bodies = found.verdict != SAME
    return {**entry, "production": _side(pair.production, bodies), "shadow": _side(pair.shadow, bodies)}


def _side(answer: Answer, with_body: bool) -> dict[str, Any]:
    response, body = answer.response, answer.response.body
    assert isinstance(body, bytes)
    kind = next((value for name, value in response.headers if name.lower() == b"content-type"), b"")
    side: dict[str, Any] = {
        "variant": answer.variant,
        "status": response.status,
        "type": kind.decode("latin-1"),
        "bytes": len(body),
        "seconds": round(answer.seconds, 6),
    }
    return {**side, "body": body[:SHOWN_BYTES].decode("utf-8", "replace")} if with_body else side


def _path(plane: Plane, endpoint: str) -> Path:
    return plane.folder / "shadows" / f"{endpoint}.jsonl"
