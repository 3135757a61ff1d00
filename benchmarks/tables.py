"""The results as Markdown: one table for each model and payload, then start-up, what was left out, the goals."""

from __future__ import annotations

from statistics import median
from typing import Any

from goals import Goal, Results, middle


def results_tables(results: Results) -> str:
    """All tables but that of the goals."""
    machine = results["machine"]
    text = (
        f"# Results\n\n{machine['cores']} cores ({machine['processor']}), Python {machine['python']}; "
        f"{results['workers']} workers; medians of {results['rounds']} alternating runs of {results['seconds']} s.\n"
    )
    for model, payload in _cells(results):
        text += f"\n## {model}, {payload}\n\n" + _table(results, model, payload)
    text += "\n## Start to the first 200 on /ping\n\n| rival | model | seconds |\n|---|---|--:|\n"
    for start in results["starts"]:
        text += f"| {results['what'][start['rival']]} | {start['model']} | {start['seconds']:.2f} |\n"
    if results["absent"]:
        text += "\n## Left out\n\n"
        for name, reason in results["absent"].items():
            last = [line for line in reason.strip().splitlines() if line.strip()] or ["no reason known"]
            text += f"- {name}: {last[-1]}\n"
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
    other = median([run["other_cpu"] for run in results["runs"]] or [0.0])
    if other < 0.1:
        return ""
    return f"\nSomething else kept {other:.1f} cores busy meanwhile: do not trust these figures.\n"


def _cells(results: Results) -> list[tuple[str, str]]:
    return list(dict.fromkeys((run["model"], run["payload"]) for run in results["runs"]))


def _table(results: Results, model: str, payload: str) -> str:
    runs = [run for run in results["runs"] if (run["model"], run["payload"]) == (model, payload)]
    connections = sorted({run["connections"] for run in runs})
    head = "| rival |" + "".join(
        f" c={c}: req/s | p50 ms | p99 ms | rows/s | CPU server + client |" for c in connections
    )
    text = head + " memory MB |\n|---|" + "--:|" * (5 * len(connections) + 1) + "\n"
    most = connections[-1]

    def rate(rival: str) -> float:
        return middle(results, "requests_per_second", rival, model, payload, most) or 0

    for rival in sorted({run["rival"] for run in runs}, key=rate, reverse=True):
        text += f"| {results['what'][rival]} |"
        for c in connections:
            text += _cell(results, rival, model, payload, c)
        memory = max(run["memory"] for run in runs if run["rival"] == rival)
        text += f" {memory / 1e6:.0f} |\n"
    return text


def _cell(results: Results, rival: str, model: str, payload: str, connections: int) -> str:
    def figure(name: str) -> Any:
        return middle(results, name, rival, model, payload, connections)

    rate = figure("requests_per_second")
    if rate is None:
        return " | | | | |"
    wanted = (rival, model, payload, connections)
    failed = median(
        run["failed"]
        for run in results["runs"]
        if (run["rival"], run["model"], run["payload"], run["connections"]) == wanted
    )
    note = f" ({failed:.0f} failed)" if failed else ""
    return (
        f" {rate:,.{0 if rate >= 100 else 1}f}{note} | {figure('p50'):.2f} | {figure('p99'):.2f} |"
        f" {rate * results['rows'][payload]:,.0f} | {figure('server_cpu'):.2f} + {figure('client_cpu'):.2f} |"
    )
