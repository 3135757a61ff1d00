"""Which classes are taken for which: a matrix of figures; of many classes one of shades, and what is mixed up most."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from seaproof.training.libraries import need
from seaproof.training.measures.scores import Outcome

Figure = tuple[str, str, str]
"""Heading, drawing, and what it says to people who see one for the first time."""

_MOST_FIGURES = 12
"""Classes, up to which a matrix has room for figures."""
_MOST_SHADES = 60
_PAIRS = 12
_FAINTEST = 0.25
"""A square of a single row among many is to be seen, too."""


def confusions(outcome: Outcome) -> list[Figure]:
    """What fits as many classes."""
    counts = need("sklearn.metrics").confusion_matrix(
        outcome.target, outcome.labels, labels=range(len(outcome.classes))
    )
    if len(outcome.classes) <= _MOST_FIGURES:
        words = "Rows are what happened, columns what was predicted; right ones lie on the diagonal."
        return [("Confusion matrix", _matrix(outcome.classes, counts), words)]
    found = [_pairs(outcome.classes, counts)]
    if len(outcome.classes) <= _MOST_SHADES:
        words = (
            "Rows are what happened, columns, in the same order, what was predicted; right ones lie on the diagonal. "
            "Point at a square for its classes and rows."
        )
        found.insert(0, ("Confusion matrix", _shades(outcome.classes, counts), words))
    return found


def _matrix(classes: Sequence[str], counts: Any) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in classes)
    body = ""
    for number, name in enumerate(classes):
        cells = "".join(
            f'<td class="{_kind(number, other)}" style="--s:{share:.2f}">{count:,}</td>'
            for other, (count, share) in enumerate(_shares(counts[number]))
        )
        body += f"<tr><th>{escape(name)}</th>{cells}</tr>"
    return (
        f'<table class="confusion"><tr><td></td><th colspan="{len(classes)}">predicted</th></tr>'
        f"<tr><th>actual</th>{head}</tr>{body}</table>"
    )


def _shades(classes: Sequence[str], counts: Any) -> str:
    body = ""
    for number, name in enumerate(classes):
        cells = "".join(
            f'<td class="{_kind(number, other)}" style="--s:{max(share, _FAINTEST):.2f}" '
            f'title="{escape(name)} taken for {escape(classes[other])}: {count:,}"></td>'
            if count
            else "<td></td>"
            for other, (count, share) in enumerate(_shares(counts[number]))
        )
        body += f"<tr><th>{escape(name)}</th>{cells}</tr>"
    return f'<table class="confusion shades">{body}</table>'


def _pairs(classes: Sequence[str], counts: Any) -> Figure:
    numpy = need("numpy")
    wrong = counts - numpy.diag(numpy.diag(counts))
    order = numpy.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
    body = ""
    for actual, predicted in zip(*numpy.unravel_index(order, wrong.shape), strict=True):
        count, total = int(wrong[actual, predicted]), int(counts[actual].sum())
        if count:
            body += (
                f"<tr><td>{escape(classes[actual])}</td><td>{escape(classes[predicted])}</td>"
                f'<td class="n">{count:,}</td><td class="n">{100 * count / total:.0f} %</td></tr>'
            )
    head = "<tr><th>actual</th><th>predicted</th><th>rows</th><th>of the class</th></tr>"
    drawing = f"<table>{head}{body}</table>" if body else "<p>None: every row was told right.</p>"
    return "Mixed up most", drawing, "The classes that are most often taken for another one."


def _shares(row: Any) -> list[tuple[int, float]]:
    """Each count, and its share of the row."""
    total = max(int(row.sum()), 1)
    return [(count, count / total) for count in map(int, row)]


def _kind(actual: int, predicted: int) -> str:
    return "right" if actual == predicted else "wrong"
