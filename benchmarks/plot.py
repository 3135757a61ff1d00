"""One picture for each payload: requests per second of every rival, a panel for each model; bars on a log scale.

python plot.py results.json FOLDER        in an environment with matplotlib
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from results import Cell, middle

COLOURS = {1: "#9ecae1", 16: "#4292c6", 64: "#08519c"}


def main(source: Path, folder: Path) -> None:
    """Write FOLDER/<payload>.png for each payload of the results."""
    results = json.loads(source.read_text())
    for payload in dict.fromkeys(run["payload"] for run in results["runs"]):
        models = list(dict.fromkeys(run["model"] for run in results["runs"] if run["payload"] == payload))
        figure, axes = pyplot.subplots(1, len(models), figsize=(1 + 5 * len(models), 4.5), squeeze=False)
        for axis, model in zip(axes[0], models, strict=True):
            _panel(axis, results, model, payload)
        figure.suptitle(f"{payload}: requests per second (more is better)")
        figure.tight_layout()
        figure.savefig(folder / f"{payload}.png", dpi=110)
        pyplot.close(figure)


def _panel(axis, results, model, payload) -> None:
    runs = [run for run in results["runs"] if (run["model"], run["payload"]) == (model, payload)]
    connections = sorted({run["connections"] for run in runs})
    most = connections[-1]
    rivals = sorted(
        {run["rival"] for run in runs},
        key=lambda rival: middle(results, "requests_per_second", Cell(rival, model, payload, most)) or 0,
    )
    height = 0.8 / len(connections)
    for number, count in enumerate(connections):
        rates = [middle(results, "requests_per_second", Cell(rival, model, payload, count)) or 0 for rival in rivals]
        places = [place + (number - (len(connections) - 1) / 2) * height for place in range(len(rivals))]
        bars = axis.barh(places, rates, height, label=f"c={count}", color=COLOURS.get(count, "#888888"))
        axis.bar_label(bars, labels=[f"{rate:,.0f}" for rate in rates], padding=2, fontsize=7)
    axis.set_yticks(range(len(rivals)), rivals)
    axis.set_xscale("log")
    lowest = min(run["requests_per_second"] for run in runs)
    axis.set_xlim(left=10 ** math.floor(math.log10(lowest) - 0.3))
    axis.margins(x=0.15)
    axis.set_title(model)
    axis.legend(fontsize=7, loc="lower right")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
