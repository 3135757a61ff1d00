"""The report as one HTML file that needs nothing else: findings, start-up timeline, latency histogram, memory plot.

The pictures are SVG that is written here, so that the page can be mailed and kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from seaproof.check.check import FAILED, NOT_APPLICABLE, PASSED, UNCHECKED, WARNED, Finding, Measure, Report, Result
from seaproof.check.reports.plain import verdict

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 180, 64, 28
_BARS = 30
_STYLE = """
:root { color-scheme: light dark; --good: #1a7f37; --bad: #cf222e; --warn: #9a6700; --dim: #6e7781; --line: #d0d7de; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2.5rem }
article { border-left: 4px solid var(--bad); padding: .2rem 1rem; margin: 1rem 0 }
article.warned { border-color: var(--warn) }
pre { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; padding: .6rem; font-size: .85rem }
.verdict { font-size: 1.2rem; font-weight: 600 } .dim { color: var(--dim) }
table { border-collapse: collapse } td, th { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top }
.verdict.passed, td.passed { color: var(--good) }
.verdict.failed, td.failed, article.failed > strong { color: var(--bad) }
.verdict.warned, td.warned, article.warned > strong { color: var(--warn) }
article p.cause { font-weight: 600; margin: .4rem 0 } .label { color: var(--dim); font-size: .85rem; margin-top: .4rem }
svg { max-width: 100%; height: auto } svg text { fill: currentColor; font-size: 12px }
"""
_COLOURS = {"200": "var(--good)", "refused": "var(--dim)"}


def render(report: Report) -> str:
    """One HTML document."""
    state = {0: "passed", 1: "failed", 2: "warned"}[report.exit_code]
    roles = ", ".join(report.roles) or "it is"
    parts = [
        f"<h1>seaproof check {escape(report.target)}</h1>",
        f'<p class="dim">{escape(report.described)}; checked as {escape(roles)}, in {report.seconds:.1f} s</p>',
        f'<p class="verdict {state}">{escape(verdict(report))}</p>',
    ]
    for heading, outcome in (("Would fail", FAILED), ("Warnings", WARNED)):
        if found := report.of(outcome):
            parts += [f"<h2>{heading}</h2>", *(_article(result) for result in found)]
    parts += _pictures(report.measure)
    parts += [f'<p class="dim">{escape(note)}</p>' for note in report.notes]
    parts.append(_table(report))
    title = escape(f"seaproof check {report.target}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body>\n{chr(10).join(parts)}\n</body></html>\n"
    )


def _article(result: Result) -> str:
    check = result.check
    kind = "warned" if result.outcome == WARNED else "failed"
    inner = "".join(_finding(finding, check.fix) for finding in result.findings)
    return (
        f'<article class="{kind}"><strong>{check.id} {escape(check.title)}</strong>{inner}'
        f'<p class="dim">The platform {escape(check.platform)}. On SageMaker: {escape(check.symptom)}.</p></article>'
    )


def _finding(finding: Finding, fix: str) -> str:
    place = f" <code>{escape(finding.place)}</code>" if finding.place else ""
    shown = "".join(
        f'<div class="label">{escape(evidence.title)}</div><pre>{escape(evidence.text)}</pre>'
        for evidence in finding.evidence
    )
    mended = f'<div class="label">Fix</div><pre>{escape(finding.fix or fix)}</pre>'
    return f'<p class="cause">{escape(finding.cause)}.{place}</p>{shown}{mended}'


def _labelled(label: str, text: str) -> str:
    return f'<div class="label">{escape(label)}</div><pre>{escape(text)}</pre>'


def _table(report: Report) -> str:
    order = {FAILED: 0, WARNED: 1, UNCHECKED: 2, PASSED: 3, NOT_APPLICABLE: 4}
    rows = "".join(
        f'<tr><td class="{result.outcome.split()[0]}">{result.outcome}</td><td>{result.check.id}</td>'
        f'<td>{escape(result.check.title)}</td><td class="dim">{escape(result.reason)}</td></tr>'
        for result in sorted(report.results, key=lambda result: (order[result.outcome], result.check.id))
    )
    return f"<h2>All {len(report.results)} checks</h2><table>{rows}</table>"


def _pictures(measure: Measure) -> Iterator[str]:
    if measure.pings:
        yield "<h2>Start-up: what came of each GET /ping</h2>"
        yield _timeline(measure.pings)
        yield _legend(measure.pings)
    if measure.latencies:
        ordered = sorted(measure.latencies)
        middle, late = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
        yield f"<h2>{len(ordered):,} invocations: p50 {middle * 1000:.1f} ms, p99 {late * 1000:.1f} ms</h2>"
        yield _histogram(ordered)
    if measure.memory:
        most = max(taken for _, taken in measure.memory)
        yield f"<h2>Memory: {most / 1024**2:,.0f} MiB at most</h2>"
        yield _curve([(at, taken / 1024**2) for at, taken in measure.memory], "MiB")


def _timeline(pings: Sequence[tuple[float, str]]) -> str:
    """A tick for each ping, coloured by what came of it."""
    end = max(pings[-1][0], 0.001)
    ticks = "".join(
        f'<rect x="{_LEFT + at / end * (_WIDTH - _LEFT - 8):.1f}" y="20" width="3" height="44" '
        f'fill="{_COLOURS.get(answer, "var(--bad)")}"><title>{at:.2f} s: {escape(answer)}</title></rect>'
        for at, answer in pings
    )
    first = next((f"{at:.2f} s to the first 200" for at, answer in pings if answer == "200"), "never 200")
    labels = f'<text x="{_LEFT}" y="84">0 s</text><text x="{_WIDTH - 48}" y="84">{end:.1f} s</text>'
    return _svg(f'{ticks}{labels}<text x="{_LEFT}" y="12">{first}</text>', 92)


def _legend(pings: Sequence[tuple[float, str]]) -> str:
    """What the colours of the timeline mean: every answer that there was, in the order of their first."""
    names = "".join(
        f'<span style="color:{_COLOURS.get(answer, "var(--bad)")}">■ {escape(answer)}</span> '
        for answer in dict.fromkeys(answer for _, answer in pings)
    )
    return f'<p class="dim">{names}</p>'


def _histogram(ordered: Sequence[float]) -> str:
    low, high = ordered[len(ordered) // 100], ordered[int(len(ordered) * 0.99)] or ordered[-1]
    width = max((high - low) / _BARS, 1e-6)
    counts = [0] * _BARS
    for seconds in ordered:
        counts[max(0, min(_BARS - 1, int((seconds - low) / width)))] += 1
    step = (_WIDTH - _LEFT - 8) / _BARS
    bars = "".join(
        f'<rect x="{_LEFT + number * step:.1f}" y="{_y(count / max(counts)):.1f}" width="{step - 1:.1f}" '
        f'height="{_HEIGHT - _BOTTOM - _y(count / max(counts)):.1f}" fill="var(--good)">'
        f"<title>{(low + number * width) * 1000:.1f} ms: {count}</title></rect>"
        for number, count in enumerate(counts)
    )
    return _svg(bars + _axes(f"{low * 1000:.1f} ms", f"{high * 1000:.1f} ms and more", str(max(counts))))


def _curve(points: Sequence[tuple[float, float]], unit: str) -> str:
    end, top = max(points[-1][0], 0.001), max(value for _, value in points) or 1.0
    line = " ".join(f"{_LEFT + at / end * (_WIDTH - _LEFT - 8):.1f},{_y(value / top):.1f}" for at, value in points)
    drawn = f'<polyline points="{line}" fill="none" stroke="var(--good)" stroke-width="2"/>'
    return _svg(drawn + _axes("0 s", f"{end:.0f} s", f"{top:,.0f} {unit}"))


def _y(share: float) -> float:
    return 14 + (1 - share) * (_HEIGHT - _BOTTOM - 14)


def _axes(first: str, last: str, top: str) -> str:
    floor = _HEIGHT - _BOTTOM
    return (
        f'<line x1="{_LEFT}" y1="{floor}" x2="{_WIDTH - 8}" y2="{floor}" stroke="var(--line)"/>'
        f'<text x="{_LEFT}" y="{floor + 16}">{first}</text>'
        f'<text x="{_WIDTH - 8}" y="{floor + 16}" text-anchor="end">{last}</text>'
        f'<text x="{_LEFT - 6}" y="24" text-anchor="end">{top}</text>'
    )


def _svg(inner: str, height: int = _HEIGHT) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img">{inner}</svg>'
