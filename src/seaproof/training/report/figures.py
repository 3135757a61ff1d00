"""The pictures of a report, from what happened and what was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seaproof.training.libraries import need
from seaproof.training.measures.hosmer_lemeshow import GROUPS, probability_groups
from seaproof.training.measures.lift import lift_curve
from seaproof.training.measures.scores import Outcome
from seaproof.training.report.confusion import Figure, confusions
from seaproof.training.report.drawing import COLOURS, Line, Point, bar_chart, heat, line_chart

_POINTS = 200
_SQUARES = 36


def figures(outcome: Outcome) -> list[Figure]:
    """All that fit the task."""
    if not outcome.classes:
        return [_predicted_against_actual(outcome), _errors(outcome)]
    found = [_roc(outcome), _precision_recall(outcome)] if _one_by_one(outcome) else []
    if found and outcome.two_classes:
        found += [_lift(outcome), _gains(outcome), _calibration(outcome)]
    return [*found, *confusions(outcome)]


def _roc(outcome: Outcome) -> Figure:
    lines = [Line("guessing", [(0, 0), (1, 1)], "plain")]
    for number, name, happened, score in _one_by_one(outcome):
        false, true, _ = need("sklearn.metrics").roc_curve(happened, score)
        lines.append(Line(name, _thinned(false, true), f"c{number % COLOURS}"))
    chart = line_chart(lines, ("false alarms (share of the others)", "found (share of the class)"))
    return (
        "ROC curve",
        chart,
        "Each point is one threshold. The further the line bends to the upper left, the better; dashed is guessing."
        + _which(outcome),
    )


def _precision_recall(outcome: Outcome) -> Figure:
    lines = []
    for number, name, happened, score in _one_by_one(outcome):
        precision, recall, _ = need("sklearn.metrics").precision_recall_curve(happened, score)
        share = float(happened.mean())
        if outcome.two_classes:
            lines.append(Line("guessing", [(0, share), (1, share)], "plain"))
        lines.append(Line(name, _thinned(recall[::-1], precision[::-1]), f"c{number % COLOURS}"))
    chart = line_chart(lines, ("recall (share found)", "precision (share right)"))
    return (
        "Precision and recall",
        chart,
        "How many of the rows that are picked are right, against how many of all right ones are picked."
        + _which(outcome),
    )


def _lift(outcome: Outcome) -> Figure:
    shares = tuple(number / GROUPS for number in range(1, GROUPS + 1))
    curve = lift_curve(outcome.happened, outcome.score, shares)
    found = [0.0, *(point.found for point in curve)]
    bars = [(f"{number}", (found[number] - found[number - 1]) * GROUPS) for number in range(1, GROUPS + 1)]
    return (
        "Lift by tenths",
        bar_chart(bars, ("tenth of the rows, highest scores first", "lift"), level=1.0),
        "How many times more positive rows each tenth holds than the average. Good: high left, low right.",
    )


def _gains(outcome: Outcome) -> Figure:
    points: list[Point] = [
        (0.0, 0.0),
        *((point.share, point.found) for point in lift_curve(outcome.happened, outcome.score)),
    ]
    lines = [Line("guessing", [(0, 0), (1, 1)], "plain"), Line(outcome.classes[outcome.positive], points)]
    return (
        "Cumulative gains",
        line_chart(lines, ("share of rows looked at, highest scores first", "share of positive rows found")),
        "If you can look at a fifth of all rows only: this many of the positive ones are among them.",
    )


def _calibration(outcome: Outcome) -> Figure:
    groups = probability_groups(outcome.happened, outcome.score)
    points = [(group.expected / group.rows, group.observed / group.rows) for group in groups]
    lines = [Line("perfect", [(0, 0), (1, 1)], "plain"), Line("this model", points, dots=True)]
    return (
        "Calibration",
        line_chart(lines, ("predicted probability", "what happened (share)")),
        "Ten groups of rows by predicted probability. On the dashed line, 30 % means that 30 of 100 rows are so.",
    )


def _predicted_against_actual(outcome: Outcome) -> Figure:
    numpy = need("numpy")
    target, predicted = outcome.target, outcome.predicted
    both = numpy.concatenate([target, predicted])
    low, high = map(float, numpy.quantile(both, [0.001, 0.999]))
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = numpy.linspace(low, high, _SQUARES + 1)
    counts, _, _ = numpy.histogram2d(target, predicted, bins=[edges, edges])
    cells = [
        (float(edges[a]), float(edges[b]), float(counts[a, b])) for a, b in zip(*numpy.nonzero(counts), strict=True)
    ]
    chart = heat(cells, (high - low) / _SQUARES, ("actual", "predicted"), (low, high))
    return "Predicted and actual", chart, "The darker, the more rows. On the dashed line a prediction is exactly right."


def _errors(outcome: Outcome) -> Figure:
    numpy = need("numpy")
    errors = outcome.predicted - outcome.target
    low, high = map(float, numpy.quantile(errors, [0.005, 0.995]))
    counts, edges = numpy.histogram(errors, bins=11, range=(low, high if high > low else low + 1))
    middles = (edges[:-1] + edges[1:]) / 2
    bars = [(f"{middle:.3g}", float(count)) for middle, count in zip(middles, counts, strict=True)]
    return (
        "Errors",
        bar_chart(bars, ("predicted minus actual", "rows")),
        "A good model errs little and to both sides alike; the middle 99 % of all rows are shown.",
    )


def _one_by_one(outcome: Outcome) -> list[tuple[int, str, Any, Any]]:
    """Each class against the others, where both are there; of two classes the positive one alone, of more than there
    are colours the most frequent."""
    found = []
    counts = need("numpy").bincount(outcome.target, minlength=len(outcome.classes))
    frequent = sorted(range(len(outcome.classes)), key=lambda number: -counts[number])[:COLOURS]
    numbers = [outcome.positive] if outcome.two_classes else sorted(frequent)
    for place, number in enumerate(numbers):
        happened = (outcome.target == number).astype(float)
        if happened.any() and not happened.all():
            found.append((place, outcome.classes[number], happened, outcome.predicted[:, number]))
    return found


def _which(outcome: Outcome) -> str:
    many = len(outcome.classes) > COLOURS
    return f" Shown are the {COLOURS} most frequent of {len(outcome.classes)} classes." if many else ""


def _thinned(across: Sequence[float], up: Sequence[float]) -> list[Point]:
    """At most so many points, the first and the last among them."""
    numpy = need("numpy")
    places = numpy.unique(numpy.linspace(0, len(across) - 1, min(len(across), _POINTS)).astype(int))
    return [(float(across[place]), float(up[place])) for place in places]
