"""The results as Markdown: one table for each model and payload, then start-up, what was left out, the goals."""

from __future__ import annotations

from statistics import median
from typing import Any

from goals import Goal
from results import Cell, Results, middle, ratio


def results_tables(results: Results) -> str:
    """All tables but that of the goals."""
    machine = results["machine"]
    text = (
        f"# Results\n\n{machine['cores']} cores ({machine['processor']}), Python {machine['python']}; "
        f"{results['workers']} workers. Medians of alternating runs. Rows are sorted by the rate at most connections; "
        "the last column is seaproof's rate by that of the row, in the same slice.\n"
    )
    for number, part in enumerate(results["slices"]):
        text += f"\n- slice {number + 1}: {part['rounds']} runs of {part['seconds']} s each; {_busy(results, number)}"
    text += "\n"
    for model, payload in _cells(results):
        text += f"\n## {model}, {payload}\n\n" + _table(results, model, payload)
    text += "\n## Start to the first 200 on /ping\n\n| rival | model | seconds |\n|---|---|--:|\n"
    starts: dict[tuple[str, str], list[float]] = {}
    for start in results["starts"]:
        starts.setdefault((start["rival"], start["model"]), []).append(start["seconds"])
    for (rival, model), seconds in sorted(starts.items()):
        text += f"| {results['what'][rival]} | {model} | {median(seconds):.2f} |\n"
    if results["absent"]:
        text += "\n## Left out\n\n"
        for name, reason in results["absent"].items():
            text += f"- {name}: {reason}\n"
    return text


def goals_table(found: list[Goal]) -> str:
    """One line for each goal."""
    text = "| goal | wanted | found | |\n|---|--:|--:|---|\n"
    for goal in found:
        sign = "≤" if goal.at_most else "≥"
        value = "not measured" if goal.found is None else f"{goal.found:.2f}"
        verdict = {True: "met", False: "missed", None: ""}[goal.met]
        text += f"| {goal.what} | {sign} {goal.wanted:g} | {value} | {verdict} |\n"
    return text


def noise(results: Results) -> str:
    """A warning where something else used the machine; empty where it was quiet."""
    loud = [number for number in range(len(results["slices"])) if _other(results, number) >= 0.1]
    if not loud:
        return ""
    named = ", ".join(str(number + 1) for number in loud)
    return f"\nSomething else kept the machine busy during slice {named}: do not trust its figures.\n"


def _busy(results: Results, number: int) -> str:
    return f"other work kept {_other(results, number):.2f} cores busy"


def _other(results: Results, number: int) -> float:
    return median([run["other_cpu"] for run in results["runs"] if run["slice"] == number] or [0.0])


def _cells(results: Results) -> list[tuple[str, str]]:
    return list(dict.fromkeys((run["model"], run["payload"]) for run in results["runs"]))


def _table(results: Results, model: str, payload: str) -> str:
    runs = [run for run in results["runs"] if (run["model"], run["payload"]) == (model, payload)]
    connections = sorted({run["connections"] for run in runs})
    head = "| rival |" + "".join(
        f" c={c}: req/s | p50 ms | p99 ms | rows/s | CPU server + client |" for c in connections
    )
    text = head + " memory MB | seaproof by it |\n|---|" + "--:|" * (5 * len(connections) + 2) + "\n"
    most = connections[-1]

    def rate(rival: str) -> float:
        return middle(results, "requests_per_second", Cell(rival, model, payload, most)) or 0

    for rival in sorted({run["rival"] for run in runs}, key=rate, reverse=True):
        text += f"| {results['what'][rival]} |"
        for c in connections:
            text += _cell(results, Cell(rival, model, payload, c))
        memory = max(run["memory"] for run in runs if run["rival"] == rival)
        by = ratio(results, "requests_per_second", Cell("seaproof", model, payload, most), rival)
        text += f" {memory / 1e6:.0f} | {'' if by is None or rival == 'seaproof' else f'{by:.2f}'} |\n"
    return text


def _cell(results: Results, cell: Cell) -> str:
    def figure(name: str) -> Any:
        return middle(results, name, cell)

    rate = figure("requests_per_second")
    if rate is None:
        return " | | | | |"
    failed = figure("failed")
    note = f" ({failed:.0f} failed)" if failed else ""
    return (
        f" {rate:,.{0 if rate >= 100 else 1}f}{note} | {figure('p50'):.2f} | {figure('p99'):.2f} |"
        f" {rate * results['rows'][cell.payload]:,.0f} | {figure('server_cpu'):.2f} + {figure('client_cpu'):.2f} |"
    )
