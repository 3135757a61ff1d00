"""The benchmark's results, slice by slice: what is compared with what, and which benchmarks there are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))

from goals import goals  # noqa: E402
from results import Cell, added, dumped, middle, ratio  # noqa: E402

OURS = Cell("seaproof", "logreg", "csv-row", 64)


def part(rates: dict[str, list[float]], **more: Any) -> dict[str, Any]:
    """The results of one run: the rates of each rival in one cell."""
    runs = [
        {"slice": 0, "round": number, "rival": rival, "model": "logreg", "payload": "csv-row", "connections": 64}
        | {"requests_per_second": rate, "failed": 0, "other_cpu": 0.0}
        for rival, several in rates.items()
        for number, rate in enumerate(several)
    ]
    kept = {"machine": {"cores": 2}, "workers": 2, "what": dict.fromkeys(rates, "x"), "rows": {"csv-row": 1}}
    return {**kept, "slices": [{"rounds": 3, "seconds": 1}], "runs": runs, "starts": [], "absent": {}, **more}


def test_a_ratio_is_of_two_medians_of_one_slice_and_never_of_two() -> None:
    quiet = part({"seaproof": [900, 1000, 5000], "classic": [10, 20, 25]})
    loud = part({"seaproof": [100, 100, 100], "litserve": [50, 50, 50]})

    both = added(quiet, loud)

    assert ratio(both, "requests_per_second", OURS, "classic") == 50
    assert ratio(both, "requests_per_second", OURS, "litserve") == 2
    assert ratio(both, "requests_per_second", OURS, "bentoml") is None
    assert middle(both, "requests_per_second", OURS) == 100
    assert middle(both, "requests_per_second", OURS.of("classic")) == 20


def test_what_is_measured_again_counts_as_it_was_last() -> None:
    first = part({"seaproof": [100], "classic": [10]}, absent={"classic, logreg": "did not start", "ray": "no"})
    both = added(first, part({"seaproof": [90], "classic": [1]}))

    assert ratio(both, "requests_per_second", OURS, "classic") == 90
    assert len(both["runs"]) == 4
    assert both["absent"] == {"ray": "no"}
    assert json.loads(dumped(both)) == both


def test_results_of_another_machine_are_not_added() -> None:
    with pytest.raises(ValueError, match="another kind: machine"):
        added(part({"seaproof": [1]}), part({"seaproof": [1]}, machine={"cores": 64}))


def test_the_best_framework_is_the_one_that_comes_closest() -> None:
    results = added(part({"seaproof": [100], "litserve": [2]}), part({"seaproof": [90], "bentoml": [3]}))

    found = {goal.what: goal for goal in goals(results)}

    goal = found["logreg, csv-row, c=64: the best framework"]
    assert (goal.found, goal.met) == (30, True)
    assert found["catboost, csv-row, c=64: classic"].met is None


def test_one_entry_finds_every_benchmark() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "all.py"), "--only", "none"], capture_output=True, text=True
    )

    assert done.returncode == 2
    named = done.stderr.strip().rpartition("there are: ")[2].split(", ")
    assert named[0] == "run"
    assert {"batch", "codecs", "gateway"} < set(named)
    assert not {"all", "plot", "train_models"} & set(named)
