"""Charts as SVG text: lines, bars and fields, in the data's own units; nothing is fetched or scripted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[float, float]
Range = tuple[float, float]

WIDTH, HEIGHT = 440, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 14, 46
COLOURS = 6
"""Of lines: `.c0` to `.c5` in the page's style."""


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    name: str
    points: Sequence[Point]
    style: str = "c0"
    """Of the page's style sheet; `plain` is a thin dashed line to compare with."""
    dots: bool = False


def line_chart(lines: Sequence[Line], labels: tuple[str, str], x: Range = (0, 1), y: Range = (0, 1)) -> str:
    """Lines over two axes that are labelled (x, y)."""
    parts = [_axes(labels, x, y)]
    for line in lines:
        places = [_place(point, x, y) for point in line.points]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
        parts.append(f'<polyline class="line {line.style}" points="{path}"/>')
        if line.dots:
            parts += [
                f'<circle class="dot {line.style}" cx="{px:.1f}" cy="{py:.1f}" r="3.5">'
                f"<title>{escape(labels[0])} {_short(a)}, {escape(labels[1])} {_short(b)}</title></circle>"
                for (px, py), (a, b) in zip(places, line.points, strict=True)
            ]
    return _figure("".join(parts)) + _legend(lines)


def bar_chart(values: Sequence[tuple[str, float]], labels: tuple[str, str], level: float | None = None) -> str:
    """Upright bars, each named below; `level` is a line to compare them with."""
    highest = max([value for _, value in values] + [level or 0, 1e-12])
    y = (0.0, _ticks((0, highest))[-1] if _ticks((0, highest))[-1] >= highest else highest)
    x = (0.0, float(len(values)))
    parts = [_axes(labels, x, y, x_ticks=False)]
    for number, (name, value) in enumerate(values):
        left, top = _place((number + 0.15, value), x, y)
        right, bottom = _place((number + 0.85, 0), x, y)
        parts.append(
            f'<rect class="bar" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}">'
            f"<title>{escape(name)}: {_short(value)}</title></rect>"
            f'<text class="tick" text-anchor="middle" x="{(left + right) / 2:.1f}" y="{bottom + 15:.1f}">'
            f"{escape(name)}</text>"
        )
    if level is not None:
        (x1, y1), (x2, _) = _place((0, level), x, y), _place((len(values), level), x, y)
        parts.append(f'<line class="line plain" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y1:.1f}"/>')
    return _figure("".join(parts))


def ranking(values: Sequence[tuple[str, float]]) -> str:
    """Lying bars with their names at the left, the largest first; figures are shares of all."""
    total = sum(value for _, value in values) or 1.0
    highest = max((value for _, value in values), default=0) or 1.0
    height = 26 * len(values) + 6
    parts = []
    for number, (name, value) in enumerate(values):
        top = 4 + 26 * number
        width = 200 * value / highest
        shown = name if len(name) <= 24 else name[:23] + "…"
        parts.append(
            f'<text class="tick" text-anchor="end" x="164" y="{top + 14}">{escape(shown)}'
            f"<title>{escape(name)}</title></text>"
            f'<rect class="bar" x="172" y="{top + 2}" width="{width:.1f}" height="16"/>'
            f'<text class="tick" x="{178 + width:.1f}" y="{top + 14}">{100 * value / total:.1f} %</text>'
        )
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img">{"".join(parts)}</svg>'


def heat(cells: Sequence[tuple[float, float, float]], size: float, labels: tuple[str, str], span: Range) -> str:
    """Squares of `size` at (x, y), the darker the more rows (third figure); a diagonal to compare with."""
    most = max((count for _, _, count in cells), default=1) or 1
    parts = [_axes(labels, span, span)]
    for a, b, count in cells:
        (left, bottom), (right, top) = _place((a, b), span, span), _place((a + size, b + size), span, span)
        shade = 0.12 + 0.88 * math.log1p(count) / math.log1p(most)
        parts.append(
            f'<rect class="cell" x="{left:.1f}" y="{top:.1f}" width="{right - left:.2f}" height="{bottom - top:.2f}"'
            f' opacity="{shade:.2f}"><title>{count:g} rows</title></rect>'
        )
    (x1, y1), (x2, y2) = _place((span[0], span[0]), span, span), _place((span[1], span[1]), span, span)
    parts.append(f'<line class="line plain" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')
    return _figure("".join(parts))


def sparkline(values: Sequence[float], names: Sequence[str]) -> str:
    """A small row of bars, each with its name where a pointer rests on it."""
    most = max(values, default=0) or 1.0
    step = 180 / max(len(values), 1)
    bars = "".join(
        f'<rect class="bar" x="{number * step:.1f}" y="{34 - 32 * value / most:.1f}" width="{max(step - 1.5, 0.5):.1f}"'
        f' height="{32 * value / most:.1f}"><title>{escape(name)}: {value:g}</title></rect>'
        for number, (value, name) in enumerate(zip(values, names, strict=True))
    )
    return f'<svg class="spark" viewBox="0 0 180 34" role="img">{bars}</svg>'


def _figure(content: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{content}</svg>'


def _legend(lines: Sequence[Line]) -> str:
    named = [line for line in lines if line.name]
    items = "".join(f'<li><span class="key {line.style}"></span>{escape(line.name)}</li>' for line in named)
    return f'<ul class="legend">{items}</ul>' if items else ""


def _axes(labels: tuple[str, str], x: Range, y: Range, *, x_ticks: bool = True) -> str:
    parts = []
    for value in _ticks(y):
        _, py = _place((x[0], value), x, y)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{py:.1f}" y2="{py:.1f}"/>'
            f'<text class="tick" text-anchor="end" x="{_LEFT - 6}" y="{py + 4:.1f}">{_short(value)}</text>'
        )
    for value in _ticks(x) if x_ticks else []:
        px, _ = _place((value, y[0]), x, y)
        parts.append(
            f'<line class="grid" x1="{px:.1f}" x2="{px:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>'
            f'<text class="tick" text-anchor="middle" x="{px:.1f}" y="{HEIGHT - _BOTTOM + 15}">{_short(value)}</text>'
        )
    middle = (_TOP + HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text class="label" text-anchor="middle" x="{(_LEFT + WIDTH - _RIGHT) / 2}" y="{HEIGHT - 10}">'
        f'{escape(labels[0])}</text><text class="label" text-anchor="middle" transform="rotate(-90)" x="{-middle}"'
        f' y="14">{escape(labels[1])}</text>'
    )
    return "".join(parts)


def _place(point: Point, x: Range, y: Range) -> Point:
    across = (point[0] - x[0]) / ((x[1] - x[0]) or 1)
    up = (point[1] - y[0]) / ((y[1] - y[0]) or 1)
    return _LEFT + across * (WIDTH - _LEFT - _RIGHT), HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM)


def _ticks(span: Range) -> list[float]:
    """Round figures from the one end to the other, about five."""
    width = span[1] - span[0]
    if width <= 0:
        return [span[0]]
    rough = width / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(span[0] / step - 1e-9)
    last = math.floor(span[1] / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _short(value: float) -> str:
    if abs(value) >= 10000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
