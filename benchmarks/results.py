"""What was measured, slice by slice: a full run takes longer than a machine stays quiet, so that it is put together.

A slice is one run of run.py: what it measured took turns, and may be compared. Of a cell that several slices measured,
the newest counts; a ratio is always of two figures of one slice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """One place in the tables."""

    rival: str
    model: str
    payload: str
    connections: int

    def of(self, rival: str) -> Cell:
        """The same place, of another rival."""
        return Cell(rival, self.model, self.payload, self.connections)


def added(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The old results with one more slice; ValueError where they come from another machine."""
    if not old:
        return new
    for key in ("machine", "workers"):
        if old[key] != new[key]:
            raise ValueError(f"the results there are of another kind: {key} {old[key]}, and now {new[key]}")
    first = len(old["slices"])
    absent = {name: why for name, why in old["absent"].items() if name not in _measured(new)}
    return {
        **old,
        "what": {**old["what"], **new["what"]},
        "rows": {**old["rows"], **new["rows"]},
        "slices": old["slices"] + new["slices"],
        "runs": old["runs"] + [{**run, "slice": first + run["slice"]} for run in new["runs"]],
        "starts": old["starts"] + [{**start, "slice": first + start["slice"]} for start in new["starts"]],
        "absent": {**absent, **new["absent"]},
    }


def dumped(results: Results) -> str:
    """As JSON, a line for each run: so that what a slice adds can be seen."""
    parts = []
    for key, value in results.items():
        if key in ("runs", "starts", "slices"):
            lines = ",\n  ".join(json.dumps(_short(entry)) for entry in value)
            parts.append(f' "{key}": [\n  {lines}\n ]')
        else:
            parts.append(f' "{key}": {json.dumps(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _short(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in entry.items()}


def _measured(results: Results) -> set[str]:
    """Names under which what was measured now would have been left out before."""
    found = set()
    for run in results["runs"]:
        at = f"{run['rival']}, {run['model']}"
        found |= {run["rival"], at, f"{at}, {run['payload']}, c={run['connections']}"}
    return found


def middle(results: Results, figure: str, cell: Cell, of_slice: int | None = None) -> float | None:
    """The median of one figure over the rounds of the newest slice that has it, or of one; None where none has."""
    found = values(results, figure, cell)
    wanted = max(found, default=None) if of_slice is None else of_slice
    return float(median(found[wanted])) if wanted in found else None


def ratio(results: Results, figure: str, cell: Cell, rival: str) -> float | None:
    """The cell's figure by that of a rival in the same place, in the newest slice that measured both."""
    ours, theirs = values(results, figure, cell), values(results, figure, cell.of(rival))
    both = set(ours) & set(theirs)
    return median(ours[max(both)]) / median(theirs[max(both)]) if both else None


def values(results: Results, figure: str, cell: Cell) -> dict[int, list[float]]:
    """All rounds, by slice."""
    found: dict[int, list[float]] = {}
    for run in results["runs"]:
        if Cell(run["rival"], run["model"], run["payload"], run["connections"]) == cell:
            found.setdefault(run["slice"], []).append(run[figure])
    return found
