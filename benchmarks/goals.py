"""The goals of the serving runtime as ratios of medians, and how far each is reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

Results = Mapping[str, Any]
FRAMEWORKS = ("litserve", "bentoml", "mlserver", "mlflow", "multi-model-server", "ray-serve")


@dataclass(frozen=True)
class Goal:
    """One ratio. `found` is None where the run did not measure both sides."""

    what: str
    wanted: float
    at_most: bool
    """The ratio may not be above `wanted`, rather than not below it."""
    found: float | None

    @property
    def met(self) -> bool | None:
        """None where nothing was measured."""
        if self.found is None:
            return None
        return self.found <= self.wanted if self.at_most else self.found >= self.wanted


def goals(results: Results) -> list[Goal]:
    """Every goal, in the order of the issue that set them."""

    def ratio(figure: str, model: str, payload: str, connections: int, *rivals: str) -> float | None:
        ours = middle(results, figure, "seaproof", model, payload, connections)
        theirs = [middle(results, figure, rival, model, payload, connections) for rival in rivals]
        known = [value for value in theirs if value]
        return ours / max(known) if ours is not None and known else None

    rate = "requests_per_second"
    found = [
        Goal("echo, CSV row, c=64: classic", 100, False, ratio(rate, "echo", "csv-row", 64, "classic")),
        Goal("echo, CSV row, c=64: nginx `return 200`", 0.7, False, ratio(rate, "echo", "csv-row", 64, "nginx")),
    ]
    for model in ("logreg", "catboost"):
        for payload, classic in (("csv-row", "classic"), ("json-row", "classic-json")):
            at = f"{model}, {payload}, c=64"
            for rivals, name, wanted in (
                ((classic,), "classic", 50.0),
                (("starlette",), "Starlette", 4.0),
                (FRAMEWORKS, "the best framework", 25.0),
            ):
                found.append(Goal(f"{at}: {name}", wanted, False, ratio(rate, model, payload, 64, *rivals)))
    for model in ("echo", "logreg", "catboost"):
        found.append(
            Goal(f"{model}, CSV row, c=1, p50: classic", 0.1, True, ratio("p50", model, "csv-row", 1, "classic"))
        )
    for model in ("logreg", "catboost"):
        found.append(Goal(f"{model}, csv-1000, c=16: classic", 6, False, ratio(rate, model, "csv-1000", 16, "classic")))
        found.append(Goal(f"{model}, csv-5mb, c=1: classic", 5, False, ratio(rate, model, "csv-5mb", 1, "classic")))
    start = [run["seconds"] for run in results["starts"] if (run["rival"], run["model"]) == ("seaproof", "echo")]
    found.append(Goal("echo, start to the first 200 on /ping, seconds", 0.25, True, median(start) if start else None))
    return found


def middle(results: Results, figure: str, rival: str, model: str, payload: str, connections: int) -> float | None:
    """The median of one figure over the rounds, or None where it was not measured."""
    wanted = (rival, model, payload, connections)
    same: Callable[[Mapping[str, Any]], bool] = lambda run: (  # noqa: E731
        (run["rival"], run["model"], run["payload"], run["connections"]) == wanted
    )
    values = [run[figure] for run in results["runs"] if same(run)]
    return float(median(values)) if values else None
