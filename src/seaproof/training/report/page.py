"""The page itself: one sentence first, then figures, pictures, columns, and the config that made it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

from seaproof.contract.training_config.metric_lines import FOLDS, TRAIN
from seaproof.contract.training_config.names import ALGORITHMS, METRICS
from seaproof.training.measures.scores import Outcome
from seaproof.training.report.columns import Look, row
from seaproof.training.report.confusion import Figure
from seaproof.training.report.drawing import ranking
from seaproof.training.report.figures import figures

_RANKED = 15


@dataclass(frozen=True)
class Told:
    """All that a report tells."""

    target: str
    algorithm: str
    config: Mapping[str, Any]
    metrics: Mapping[str, float]
    measured: Outcome
    on_test: bool
    """Whether `measured` are rows that the model has not seen."""
    rows: Mapping[str, int]
    importance: Mapping[str, float]
    target_look: Look
    looks: Sequence[Look]
    notes: Sequence[str]
    versions: Mapping[str, str]


def page(told: Told) -> str:
    """The whole HTML document."""
    style = (files("seaproof.training.report") / "style.css").read_text(encoding="utf-8")
    title = f"What predicts {told.target}"
    drawn = figures(told.measured)
    if told.importance:
        top = sorted(told.importance.items(), key=lambda item: -item[1])[:_RANKED]
        drawn.insert(
            0, ("What matters", ranking(top), "How much each column counts in the model, all columns being 100 %.")
        )
    rows = told.rows["train"]
    looks = row(told.target_look, rows, target=True) + "".join(row(look, rows) for look in told.looks)
    head = "<tr><th>column</th><th>kind</th><th>missing</th><th>different</th><th>how often</th><th>values</th></tr>"
    notes = "".join(f"<li>{escape(note)}</li>" for note in told.notes)
    made = ", ".join(f"{name} {version}" for name, version in told.versions.items())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{style}</style></head><body><main>
<h1>What predicts <em>{escape(told.target)}</em></h1>
<p class="lead">{_sentence(told)}</p>
<div class="tiles">{_tiles(told)}</div>
<section class="figures">{"".join(map(_figure, drawn))}</section>
<h2>All metrics</h2>{_metrics(told)}
<h2>What the columns looked like</h2>
<p>Of the {rows:,} rows that were learned from.</p>
<div class="wide"><table>{head}{looks}</table></div>
{f"<h2>Notes</h2><ul>{notes}</ul>" if notes else ""}
<h2>The config</h2><pre>{escape(json.dumps(told.config, indent=2, ensure_ascii=False, default=str))}</pre>
<p class="small">Made with {escape(made)}.</p>
</main></body></html>
"""


def _sentence(told: Told) -> str:
    words = ALGORITHMS[told.algorithm].words
    first = (
        f"<b>{escape(told.algorithm)}</b> ({escape(words)}) learned <b>{escape(told.target)}</b> from "
        f"{told.rows['train']:,} rows and {len(told.looks)} columns."
    )
    where = "rows that it had not seen" if told.on_test else "rows that it had learned from, which flatters it"
    return f"{first} On {len(told.measured.target):,} {where}, {_success(told)}"


def _success(told: Told) -> str:
    outcome = told.measured
    if not outcome.classes:
        error = float(abs(outcome.target - outcome.predicted).mean())
        blind = float(abs(outcome.target - outcome.target.mean()).mean())
        return f"it is off by <b>{error:,.4g}</b> on average; always saying the mean would be off by {blind:,.4g}."
    right = float((outcome.labels == outcome.target).mean())
    most = max(float((outcome.target == number).mean()) for number in range(len(outcome.classes)))
    return (
        f"it is right in <b>{100 * right:.1f} %</b>; always saying the most frequent class would be right in "
        f"{100 * most:.1f} %."
    )


def _tiles(told: Told) -> str:
    prefix = "" if told.on_test else TRAIN
    names = [name for name in METRICS if f"{prefix}{name}" in told.metrics and name != "hosmer_lemeshow"][:6]
    return "".join(
        f'<div class="tile"><span>{name}</span><b>{told.metrics[prefix + name]:.4g}</b></div>' for name in names
    )


def _figure(figure: Figure) -> str:
    heading, drawing, words = figure
    return f"<figure><h3>{escape(heading)}</h3>{drawing}<figcaption>{escape(words)}</figcaption></figure>"


def _metrics(told: Told) -> str:
    names = dict.fromkeys(
        name.removeprefix(TRAIN).removeprefix(FOLDS) for name in told.metrics if not name.endswith("_std")
    )
    folds = any(name.startswith(FOLDS) for name in told.metrics)
    head = "<tr><th>metric</th><th>unseen rows</th><th>rows learned from</th>"
    head += ("<th>cross-validation</th>" if folds else "") + "<th>what it is</th></tr>"
    body = ""
    for name in names:
        cells = [_number(told.metrics.get(name)), _number(told.metrics.get(TRAIN + name))]
        if folds:
            spread = told.metrics.get(f"{FOLDS}{name}_std")
            cells.append(_number(told.metrics.get(FOLDS + name)) + (f" ± {spread:.2g}" if spread is not None else ""))
        words = METRICS[name].words if name in METRICS else "how likely so large a hosmer_lemeshow is by chance alone"
        columns = "".join(f'<td class="n">{cell}</td>' for cell in cells)
        body += f"<tr><th>{name}</th>{columns}<td>{escape(words)}</td></tr>"
    return f'<div class="wide"><table>{head}{body}</table></div>'


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
