"""The goals of the serving runtime as ratios of medians, and how far each is reached."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from results import Cell, Results, ratio

FRAMEWORKS = ("litserve", "bentoml", "mlserver", "mlflow", "multi-model-server", "ray-serve")


@dataclass(frozen=True)
class Goal:
    """One ratio. `found` is None where no slice measured both sides."""

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

    def rate(model: str, payload: str, connections: int, *rivals: str) -> float | None:
        """Ours by the best of these."""
        cell = Cell("seaproof", model, payload, connections)
        known = [found for name in rivals if (found := ratio(results, "requests_per_second", cell, name)) is not None]
        return min(known, default=None)

    found = [
        Goal("echo, CSV row, c=64: classic", 100, False, rate("echo", "csv-row", 64, "classic")),
        Goal("echo, CSV row, c=64: nginx `return 200`", 0.7, False, rate("echo", "csv-row", 64, "nginx")),
    ]
    for model in ("logreg", "catboost"):
        for payload, classic in (("csv-row", "classic"), ("json-row", "classic-json")):
            at = f"{model}, {payload}, c=64"
            for rivals, name, wanted in (
                ((classic,), "classic", 50.0),
                (("starlette",), "Starlette", 4.0),
                (FRAMEWORKS, "the best framework", 25.0),
            ):
                found.append(Goal(f"{at}: {name}", wanted, False, rate(model, payload, 64, *rivals)))
    for model in ("echo", "logreg", "catboost"):
        p50 = ratio(results, "p50", Cell("seaproof", model, "csv-row", 1), "classic")
        found.append(Goal(f"{model}, CSV row, c=1, p50: classic", 0.1, True, p50))
    for model in ("logreg", "catboost"):
        found.append(Goal(f"{model}, csv-1000, c=16: classic", 6, False, rate(model, "csv-1000", 16, "classic")))
        found.append(Goal(f"{model}, csv-5mb, c=1: classic", 5, False, rate(model, "csv-5mb", 1, "classic")))
        limit = rate(model, "csv-5mb", 1, "in-process")
        found.append(Goal(f"{model}, csv-5mb, c=1: in process, no HTTP", 0.85, False, limit))
    start = [run["seconds"] for run in results["starts"] if (run["rival"], run["model"]) == ("seaproof", "echo")]
    found.append(Goal("echo, start to the first 200 on /ping, seconds", 0.25, True, median(start) if start else None))
    return found
