"""How much each column matters: the library's own measure, or what shuffling the column costs where it has none."""

from __future__ import annotations

from dataclasses import replace

from seaproof.training.algorithms import Fitted
from seaproof.training.libraries import need
from seaproof.training.measures.scores import Outcome, measure

_ROWS = 2000
"""That are shuffled; more would not change the picture."""
_COLUMNS = 100
"""That are shuffled of a wide table, each by itself, which takes its time: those that the model splits most by."""


def importance(fitted: Fitted, frame: object, outcome: Outcome, seed: int) -> dict[str, float]:
    """A figure for each column, larger where it matters more; `outcome` is that of the rows of `frame`."""
    return fitted.importance() or by_shuffling(fitted, frame, outcome, seed)


def by_shuffling(fitted: Fitted, frame: object, outcome: Outcome, seed: int) -> dict[str, float]:
    """How much worse log loss or RMSE gets when a column's cells are dealt out anew; 0 where it does not."""
    numpy = need("numpy")
    chance = numpy.random.RandomState(seed)
    rows = numpy.sort(chance.permutation(len(outcome.target))[:_ROWS])
    some = frame.iloc[rows]  # type: ignore[attr-defined]
    name = "log_loss" if outcome.classes else "rmse"

    def loss(changed: object) -> float:
        said = replace(outcome, target=outcome.target[rows], predicted=numpy.asarray(fitted.predict(changed)))
        return measure(said, (name,)).get(name, 0.0)

    before = loss(some)
    order = chance.permutation(len(rows))
    shuffled = _most_used(fitted, list(some.columns))
    return {
        column: max(0.0, loss(some.assign(**{column: some[column].to_numpy()[order]})) - before)
        if column in shuffled
        else 0.0
        for column in some.columns
    }


def _most_used(fitted: Fitted, columns: list[str]) -> set[str]:
    gains = fitted.gains() if len(columns) > _COLUMNS and hasattr(fitted, "gains") else {}
    return set(sorted(gains, key=lambda name: -gains[name])[:_COLUMNS]) if gains else set(columns)
