"""One picture for each payload: requests per second of every rival, a panel for each model; bars on a log scale.

python plot.py results.json FOLDER        in an environment with matplotlib
"""

from __future__ import annotations

import json
import math
import sys
from itertools import zip_longest
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from results import Cell, middle

IN_A_ROW = 3
"""Panels: a page shows no more of them at a size that can be read."""
COLOURS = {1: "#9ecae1", 16: "#4292c6", 64: "#08519c"}


def main(source: Path, folder: Path) -> None:
    """Write FOLDER/<payload>.png for each payload of the results."""
    results = json.loads(source.read_text())
    for payload in dict.fromkeys(run["payload"] for run in results["runs"]):
        models = list(dict.fromkeys(run["model"] for run in results["runs"] if run["payload"] == payload))
        across = min(len(models), IN_A_ROW)
        down = math.ceil(len(models) / across)
        figure, axes = pyplot.subplots(down, across, figsize=(1 + 4.5 * across, 0.8 + 3.8 * down), squeeze=False)
        for axis, model in zip_longest(axes.flat, models):
            if model is None:
                axis.set_axis_off()
            else:
                _panel(axis, results, model, payload)
        named = {bars.get_label(): bars for axis in axes.flat for bars in axis.containers}
        counts = sorted(named, key=lambda label: int(label.removeprefix("c=")))
        figure.legend([named[count] for count in counts], counts, loc="upper right", ncols=len(counts))
        figure.suptitle(f"{payload}: requests per second (more is better), c: requests at a time")
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
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
