"""Which rows are learned from and which are kept: by chance and seed, class by class, or by a column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from seaproof.contract.training_config.columns import listed
from seaproof.contract.training_config.meaning import Split
from seaproof.errors import ContractError
from seaproof.training.libraries import need

_TOO_MANY = 1.5
"""Times the rows wanted; a value with more rows is passed over."""
Rows = Any
"""Numbers of rows: an integer array, ascending."""


@dataclass(frozen=True)
class Kept:
    """Rows that are learned from, rows that are kept, and how they were told apart."""

    train: Rows
    kept: Rows
    words: str


def split(rows: Rows, share: float, how: Split, seed: int, classes: Any, groups: Any) -> Kept:
    """Keep a share of `rows` (or what the column of `how.by` says, whose cells are `groups`).

    `classes` is the class of every row of the table, or None where a number is predicted.
    """
    numpy = need("numpy")
    if how.by and groups is not None:
        return _by_column(rows, share, how, seed, groups)
    selection = need("sklearn.model_selection")
    layers = classes[rows] if classes is not None and how.stratify is not False else None
    note = ""
    if layers is not None:
        _, counts = numpy.unique(layers, return_counts=True)
        kept_rows = int(numpy.ceil(share * len(rows)))
        if counts.min() < 2 or len(counts) > min(kept_rows, len(rows) - kept_rows):
            layers, note = None, " (some class has too few rows to keep its share)"
    train, kept = selection.train_test_split(rows, test_size=share, random_state=seed, stratify=layers)
    words = "drawn by chance" + (", every class with its share" if layers is not None else "") + f", seed {seed}{note}"
    return Kept(numpy.sort(train), numpy.sort(kept), words)


def _by_column(rows: Rows, share: float, how: Split, seed: int, groups: Any) -> Kept:
    numpy = need("numpy")
    cells = numpy.array(["" if cell != cell else cell for cell in groups[rows]], dtype=object)
    known = sorted(set(cells.tolist()))
    values = list(how.test_values)
    if not values:
        if len(known) < 2:
            raise ContractError(f"`{how.by}` has one value only, so it cannot split the rows", where="config, split.by")
        values = _drawn(cells, known, share, seed)
    unknown = [value for value in values if value not in known]
    if unknown:
        raise ContractError(
            f"no row has `{unknown[0]}` in `{how.by}`",
            where="config, split.test_values",
            next_step=f"Its values are {listed(known)}.",
        )
    there = numpy.isin(cells, numpy.array(values, dtype=object))
    if there.all():
        raise ContractError(
            "no row is left to learn from", where="config, split.test_values", next_step="Name fewer values."
        )
    return Kept(rows[~there], rows[there], f"those with {listed(values)} in `{how.by}`")


def _drawn(cells: Any, known: list[str], share: float, seed: int) -> list[str]:
    """Values whose rows come near to the share, in the order of chance; at least one, and never all."""
    numpy = need("numpy")
    sizes = {value: int((cells == value).sum()) for value in known}
    order = [known[place] for place in numpy.random.RandomState(seed).permutation(len(known))]
    wanted, count = share * len(cells), 0
    values: list[str] = []
    for value in order:
        if count < wanted and count + sizes[value] <= _TOO_MANY * wanted and len(values) < len(known) - 1:
            values.append(value)
            count += sizes[value]
    return values or [min(order, key=lambda value: sizes[value])]


def folds(rows: Rows, count: int, how: Split, seed: int, classes: Any, groups: Any) -> list[tuple[Rows, Rows]]:
    """The rows of each fold of a cross-validation: to learn from, to measure on."""
    selection = need("sklearn.model_selection")
    if how.by and groups is not None:
        of_rows = ["" if cell != cell else cell for cell in groups[rows]]
        if len(set(of_rows)) < count:
            raise ContractError(
                f"`{how.by}` has {len(set(of_rows))} values, which do not make {count} folds",
                where="config, cross_validation.folds",
                next_step="Take fewer folds.",
            )
        pairs = selection.GroupKFold(count).split(rows, groups=of_rows)
    elif classes is not None and how.stratify is not False and _fewest(classes[rows]) >= count:
        pairs = selection.StratifiedKFold(count, shuffle=True, random_state=seed).split(rows, classes[rows])
    else:
        pairs = selection.KFold(count, shuffle=True, random_state=seed).split(rows)
    return [(rows[learned], rows[measured]) for learned, measured in pairs]


def _fewest(classes: Any) -> int:
    return int(need("numpy").unique(classes, return_counts=True)[1].min())
