"""The Hosmer-Lemeshow test: whether predicted probabilities agree with what happened, over groups of rows.

    chi2 = sum over groups of (observed - expected)^2 / (expected * (1 - expected / rows))

Groups are cut at quantiles of the predicted probability, ten by default; rows of equal probability are never torn
apart, so there may be fewer. On rows that the model was not fitted to the statistic has as many degrees of freedom as
there are groups; on those that it was fitted to, two less (Hosmer, Lemeshow and Sturdivant,
Applied Logistic Regression, 5.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from seaproof.training.libraries import need

GROUPS = 10


@dataclass(frozen=True)
class Group:
    """Rows of similar probability."""

    rows: int
    observed: float
    """Positive rows."""
    expected: float
    """Sum of the probabilities."""


@dataclass(frozen=True)
class HosmerLemeshow:
    """The result of one test."""

    statistic: float
    degrees: int
    p_value: float
    """Probability of so large a statistic where the probabilities are right: a small one speaks against them."""
    groups: tuple[Group, ...]


def hosmer_lemeshow(positive: Any, probability: Any, groups: int = GROUPS, *, fitted: bool = False) -> HosmerLemeshow:
    """Test `probability` against `positive` (0 or 1 for each row); `fitted`: the model learned from them."""
    found = probability_groups(positive, probability, groups)
    statistic = 0.0
    for group in found:
        variance = group.expected * (1 - group.expected / group.rows)
        difference = group.observed - group.expected
        # A group that is predicted with certainty has no variance: right, it adds nothing; wrong, nothing is worse.
        if variance > 0:
            statistic += difference**2 / variance
        elif abs(difference) > 1e-9:
            statistic = float("inf")
    degrees = max(1, len(found) - (2 if fitted else 0))
    p_value = float(need("scipy.stats").chi2.sf(statistic, degrees))
    return HosmerLemeshow(statistic, degrees, p_value, found)


def probability_groups(positive: Any, probability: Any, groups: int = GROUPS) -> tuple[Group, ...]:
    """Rows in groups of about equal size, by ascending probability; equal probabilities are in one group."""
    numpy = need("numpy")
    positive, probability = numpy.asarray(positive, float), numpy.asarray(probability, float)
    borders = numpy.unique(numpy.quantile(probability, numpy.arange(1, groups) / groups))
    place = numpy.searchsorted(borders, probability, side="left")
    found = []
    for number in numpy.unique(place):
        inside = place == number
        found.append(Group(int(inside.sum()), float(positive[inside].sum()), float(probability[inside].sum())))
    return tuple(found)


def calibration_error(groups: tuple[Group, ...]) -> float:
    """Mean distance of predicted probability and observed share, each group counted by its rows."""
    rows = sum(group.rows for group in groups)
    return sum(abs(group.observed - group.expected) for group in groups) / rows
