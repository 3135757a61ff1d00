"""Lift: how many times more positive rows those with the highest scores hold than as many drawn blindly.

    lift(share) = (share of positives among the rows with the highest scores) / (share of positives among all)

Rows of equal score cannot be told apart, so where the border falls among them each counts by its part: the figure
does not depend on the order of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from seaproof.training.libraries import need

TOP = 0.1
"""The share that the metric `lift` is about: the top tenth."""


@dataclass(frozen=True)
class Lift:
    """One point of the lift curve."""

    share: float
    """Of the rows, those with the highest scores first."""
    lift: float
    found: float
    """Share of all positives that are among them."""


def lift(positive: Any, score: Any, share: float = TOP) -> float:
    """Lift of the top `share` of rows; `positive` is 0 or 1 for each row. NaN where there is no positive row."""
    return lift_curve(positive, score, (share,))[0].lift


def lift_curve(positive: Any, score: Any, shares: tuple[float, ...] = ()) -> list[Lift]:
    """Lift at each share (default: every hundredth)."""
    numpy = need("numpy")
    shares = shares or tuple(number / 100 for number in range(1, 101))
    positive = numpy.asarray(positive, float)
    score = numpy.asarray(score, float)
    order = numpy.argsort(-score, kind="stable")
    # The last row of every run of equal scores; between two of them positives are counted evenly.
    ends = numpy.flatnonzero(numpy.append(numpy.diff(score[order]) != 0, True)) + 1
    rows = numpy.concatenate([[0], ends])
    found = numpy.concatenate([[0], numpy.cumsum(positive[order])[ends - 1]])
    total = found[-1]
    curve = []
    for share in shares:
        among = float(numpy.interp(share * len(positive), rows, found))
        recalled = among / total if total else float("nan")
        curve.append(Lift(share, recalled / share, recalled))
    return curve
