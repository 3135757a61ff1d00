"""Lift, Hosmer-Lemeshow and the others, against values worked out by hand and against other libraries."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlxtend.evaluate import lift_score
from sklearn import metrics
from statsmodels.stats.diagnostic_gen import test_chisquare_binning as chisquare_binning

from seaproof.training.measures.hosmer_lemeshow import calibration_error, hosmer_lemeshow, probability_groups
from seaproof.training.measures.lift import lift, lift_curve
from seaproof.training.measures.scores import Outcome, measure


def drawn(rows: int, seed: int = 0) -> tuple[Any, Any]:
    """Probabilities, and what happened where they are about right."""
    chance = np.random.RandomState(seed)
    probability = chance.beta(1.5, 3, rows)
    return (chance.uniform(size=rows) < probability**1.1).astype(float), probability


@pytest.mark.parametrize(
    ("positive", "score", "share", "expected"),
    [
        # Two of the two highest are positive, four of all ten: 1.0 / 0.4.
        ([1, 1, 0, 1, 0, 0, 1, 0, 0, 0], [10, 9, 8, 7, 6, 5, 4, 3, 2, 1], 0.2, 2.5),
        # Nobody is told apart: drawn blindly.
        ([1, 1, 0, 1, 0, 0, 1, 0, 0, 0], [5] * 10, 0.1, 1.0),
        # The second of two comes from three rows of equal score with two positives: (1 + 2/3) / 2 over 3/10.
        ([1, 1, 1, 0, 0, 0, 0, 0, 0, 0], [9, 5, 5, 5, 4, 3, 2, 1, 1, 1], 0.2, (5 / 6) / 0.3),
        # The worst order.
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 1], [10, 9, 8, 7, 6, 5, 4, 3, 2, 1], 0.1, 0.0),
        # Everybody: 1 whatever the scores.
        ([1, 0, 0, 1, 0], [0.3, 0.2, 0.9, 0.1, 0.5], 1.0, 1.0),
    ],
)
def test_lift_is_what_it_is_by_hand(positive: list[int], score: list[float], share: float, expected: float) -> None:
    assert lift(positive, score, share) == pytest.approx(expected)


def test_lift_is_that_of_mlxtend() -> None:
    positive, score = drawn(1000)

    for share in (0.05, 0.1, 0.3):
        top = score >= np.sort(score)[::-1][int(share * 1000) - 1]
        assert lift(positive, score, share) == pytest.approx(lift_score(positive.astype(int), top.astype(int)))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40), st.randoms())
def test_lift_does_not_depend_on_the_order_of_the_rows(rows: list[tuple[bool, int]], chance: Any) -> None:
    mixed = list(rows)
    chance.shuffle(mixed)
    first = lift(*map(list, zip(*rows, strict=True)))
    again = lift(*map(list, zip(*mixed, strict=True)))

    assert first == pytest.approx(again, nan_ok=True)


def test_the_lift_curve_ends_where_all_are_found() -> None:
    curve = lift_curve(*drawn(300))

    assert (curve[-1].lift, curve[-1].found) == (pytest.approx(1.0), pytest.approx(1.0))
    assert all(one.found <= other.found for one, other in pairwise(curve))


def test_hosmer_lemeshow_is_what_it_is_by_hand() -> None:
    # Two groups of five: 1 expected and 1 seen; 3 expected and 4 seen: 1 / (3 * 0.4) = 0.8333, two degrees of freedom,
    # of which the chi-squared distribution leaves exp(-x / 2).
    found = hosmer_lemeshow([1, 0, 0, 0, 0, 1, 1, 1, 1, 0], [0.2] * 5 + [0.6] * 5, groups=2)

    assert found.statistic == pytest.approx(1 / 1.2)
    assert found.degrees == 2
    assert found.p_value == pytest.approx(math.exp(-1 / 2.4))
    assert calibration_error(found.groups) == pytest.approx(0.1)


def test_hosmer_lemeshow_is_that_of_statsmodels() -> None:
    happened, probability = drawn(1000)
    theirs = chisquare_binning(
        np.column_stack([1 - happened, happened]),
        np.column_stack([1 - probability, probability]),
        sort_var=probability,
        bins=10,
        df=8,
    )
    ours = hosmer_lemeshow(happened, probability, fitted=True)

    assert ours.degrees == 8
    assert ours.statistic == pytest.approx(theirs.statistic)
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert hosmer_lemeshow(happened, probability).degrees == 10


def test_rows_of_equal_probability_are_never_torn_apart() -> None:
    groups = probability_groups([1, 0] * 50, [0.25] * 60 + [0.75] * 40)

    assert [(group.rows, group.expected) for group in groups] == [(60, 15), (40, 30)]


def test_certainty_is_nothing_where_it_is_right_and_infinite_where_it_is_wrong() -> None:
    right = hosmer_lemeshow([0, 0, 1, 1], [0.0, 0.0, 1.0, 1.0])
    wrong = hosmer_lemeshow([0, 1, 1, 1], [0.0, 0.0, 1.0, 1.0])

    assert (right.statistic, right.p_value) == (0, 1)
    assert (wrong.statistic, wrong.p_value) == (math.inf, 0)


def test_two_classes_are_measured_from_the_side_of_the_positive_one() -> None:
    happened, probability = drawn(500)
    # The positive class is the first: its probability is the first column.
    outcome = Outcome((1 - happened).astype(int), np.column_stack([probability, 1 - probability]), ("yes", "no"), 0)
    said = probability > 0.5

    found = measure(outcome)

    assert list(found) == [
        *("roc_auc", "pr_auc", "accuracy", "f1", "precision", "recall", "log_loss", "lift"),
        *("hosmer_lemeshow", "hosmer_lemeshow_p", "calibration"),
    ]
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(happened, probability))
    assert found["pr_auc"] == pytest.approx(metrics.average_precision_score(happened, probability))
    assert found["precision"] == pytest.approx(metrics.precision_score(happened, said))
    assert found["recall"] == pytest.approx(metrics.recall_score(happened, said))
    assert found["f1"] == pytest.approx(metrics.f1_score(happened, said))
    assert found["accuracy"] == pytest.approx(float((said == happened).mean()))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(happened, probability))


def test_what_the_rows_do_not_define_is_left_out() -> None:
    one_class = Outcome(np.array([1, 1, 1]), np.array([[0.2, 0.8], [0.4, 0.6], [0.1, 0.9]]), ("no", "yes"))
    no_positive = Outcome(np.array([0, 0]), np.array([[0.2, 0.8], [0.4, 0.6]]), ("no", "yes"))

    assert "roc_auc" not in measure(one_class)
    assert measure(one_class)["recall"] == 1.0
    assert {"lift", "pr_auc", "roc_auc"}.isdisjoint(measure(no_positive))


def test_a_number_is_measured_in_its_own_unit() -> None:
    outcome = Outcome(np.array([1.0, 2.0, 6.0]), np.array([2.0, 2.0, 4.0]))

    assert measure(outcome) == {"rmse": pytest.approx(math.sqrt(5 / 3)), "mae": 1.0, "r2": pytest.approx(1 - 5 / 14)}
