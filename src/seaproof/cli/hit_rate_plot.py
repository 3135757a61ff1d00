"""The picture of `seaproof models simulate`: hit rate against memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from seaproof.cli.model_traces import size_text
from seaproof.errors import SeaproofError
from seaproof.invocations.hit_rates import HitRates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CURVE, _MARK, _QUIET = "#08519c", "#d94801", "#666666"
_POINTS = 2000
_SHARE = 0.9
_SCALES = (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024), ("bytes", 1))


def draw(rates: HitRates, path: Path, name: str, *, mark: int | None, label: str = "", in_bytes: bool) -> None:
    """Write the picture, whatever the ending of `path` asks for (PNG, SVG, PDF).

    `mark` is the memory to mark, called `label`; without one it is the least with 90 % of the best hit rate.
    SeaproofError where matplotlib is missing or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import PercentFormatter
    except ImportError as error:
        raise SeaproofError(
            f"the picture needs matplotlib: {error}", next_step='Install it: pip install "seaproof[plots]"'
        ) from error
    shown = rates.needed(_SHARE) if mark is None else mark
    amount = size_text(shown) if in_bytes else f"{shown:,} models"
    said = f"{label or amount}: {rates.at(shown):.1%}" + ("" if mark is not None else f"\n({_SHARE:.0%} of the best)")
    right = max(rates.total, shown) or 1
    unit, scale = _scale(right) if in_bytes else ("models", 1)
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axis = figure.add_subplot()
    points = [*rates.points(_POINTS), (right, rates.best)]
    axis.step([x / scale for x, _ in points], [y for _, y in points], where="post", color=_CURVE, linewidth=2)
    axis.axhline(rates.best, color=_QUIET, linewidth=0.9, linestyle=(0, (4, 3)))
    axis.annotate(
        f"with room for all: {rates.best:.1%}",
        (right / scale, rates.best),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right",
        color=_QUIET,
        fontsize=9,
    )
    _mark(axis, (shown, rates.at(shown)), right, scale, said)
    axis.set_xlim(0, right / scale * 1.01)
    axis.set_ylim(0, 1.06)
    axis.set_yticks([share / 5 for share in range(6)])
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.set_xlabel(f"memory for models ({unit})" if in_bytes else "models that fit into memory")
    axis.set_ylabel("requests that find their model loaded")
    axis.set_title(f"Hit rate against memory, {name}", loc="left", fontsize=12, pad=22)
    together = size_text(rates.total) if in_bytes else "each counted as one"
    caption = f"{rates.requests:,} requests for {rates.models:,} models, {together}; least recently used unloaded first"
    axis.text(0, 1.025, caption, transform=axis.transAxes, fontsize=9, color=_QUIET)
    axis.grid(color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    try:
        figure.savefig(path, dpi=144)
    except (OSError, ValueError) as error:
        raise SeaproofError(f"the picture cannot be written: {error}", where=str(path)) from error


def _mark(axis: Axes, point: tuple[int, float], right: int, scale: int, text: str) -> None:
    """The working point: a dot on the curve, lines to both axes, and what it says."""
    place, rate = point[0] / scale, point[1]
    axis.plot([place, place, 0], [0, rate, rate], color=_MARK, linewidth=1, linestyle=":")
    axis.plot([place], [rate], "o", color=_MARK, markersize=7, clip_on=False, zorder=5)
    to_the_left = point[0] > 0.7 * right
    axis.annotate(
        text,
        (place, rate),
        xytext=(-10 if to_the_left else 10, -10),
        textcoords="offset points",
        ha="right" if to_the_left else "left",
        va="top",
        color=_MARK,
        fontsize=10,
        bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
    )


def _scale(right: int) -> tuple[str, int]:
    """The largest unit of which at least two are shown."""
    return next(((unit, size) for unit, size in _SCALES if right >= 2 * size), _SCALES[-1])
