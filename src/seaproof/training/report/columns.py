"""What each column of the training rows looked like."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

from seaproof.formats.schema import Field
from seaproof.training.libraries import need
from seaproof.training.report.drawing import sparkline

_BARS = 20
_NAMED = 3


@dataclass(frozen=True)
class Look:
    """One column in figures."""

    name: str
    kind: str
    missing: int
    different: int
    words: str
    bars: tuple[float, ...]
    names: tuple[str, ...]


def look_at(field: Field, cells: Any) -> Look:
    """Count one column; numbers as float64, text as objects."""
    numpy = need("numpy")
    known = cells.dropna()
    missing, different = len(cells) - len(known), int(known.nunique())
    if field.type == "str":
        counts = known.value_counts()
        top = [(str(name), int(count)) for name, count in counts.head(_BARS).items()]
        words = ", ".join(f"{name} ({100 * count / max(len(known), 1):.0f} %)" for name, count in top[:_NAMED])
        more = f" and {different - _NAMED} more" if different > _NAMED else ""
        bars, names = tuple(float(count) for _, count in top), tuple(name for name, _ in top)
        return Look(field.name, "category", missing, different, words + more, bars, names)
    kind = "true or false" if field.type == "bool" else "number"
    if known.empty:
        return Look(field.name, kind, missing, 0, "", (), ())
    counts, edges = numpy.histogram(known, bins=min(_BARS, max(different, 1)))
    names = tuple(f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges))
    words = f"{known.min():,.6g} to {known.max():,.6g}, median {known.median():,.6g}"
    return Look(field.name, kind, missing, different, words, tuple(map(float, counts)), names)


def row(look: Look, rows: int, *, target: bool = False) -> str:
    """One line of the page's table."""
    share = f"{100 * look.missing / rows:.1f} %" if look.missing else "none"
    mark = ' <span class="mark">target</span>' if target else ""
    return (
        f"<tr><th>{escape(look.name)}{mark}</th><td>{look.kind}</td><td class='n'>{share}</td>"
        f"<td class='n'>{look.different:,}</td><td>{sparkline(look.bars, look.names)}</td>"
        f"<td>{escape(look.words)}</td></tr>"
    )
