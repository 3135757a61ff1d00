"""What a training by config leaves: the model with its schema, metrics.json, and lines that MetricDefinitions find."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from seaproof.contract.training_config.meaning import TrainingConfig
from seaproof.contract.training_config.metric_lines import metric_line
from seaproof.formats.identity import REGRESSION, classification, id_of
from seaproof.formats.schema import Schema, write_schema
from seaproof.training.algorithms import Fitted, Setup
from seaproof.training.libraries import need

METRICS_FILE, REPORT_FILE = "metrics.json", "report.html"


def say(text: str) -> None:
    """One line of the log."""
    sys.stdout.write(f"{text}\n")


def say_metrics(metrics: Mapping[str, float]) -> None:
    """`name=value`, a line each, as MetricDefinitions read them."""
    for name, value in metrics.items():
        say(metric_line(name, value))


def save_model(fitted: Fitted, setup: Setup, config: TrainingConfig, columns: Sequence[str], folder: Path) -> Schema:
    """Write the model and, beside it, what it takes and gives; `columns` are those of the training file."""
    path = fitted.save(folder)
    output = classification(setup.classes) if setup.classes else REGRESSION
    schema = Schema(
        id=id_of(path),
        input=setup.fields,
        output=output,
        target=config.target,
        classes=setup.classes,
        columns=tuple(columns),
        missing=config.data.missing,
        separator=config.data.separator.replace(",", ""),
    )
    write_schema(folder, schema)
    return schema


def write_metrics(
    folder: Path, metrics: Mapping[str, float], config: TrainingConfig, setup: Setup, rows: Mapping[str, int]
) -> None:
    """metrics.json: the metrics by name, and what they are of."""
    given = {
        "metrics": dict(metrics),
        "rows": dict(rows),
        "columns": [field.name for field in setup.fields],
        "classes": list(setup.classes),
        "config": asdict(config),
        "versions": versions(setup),
    }
    text = json.dumps(given, indent=2, ensure_ascii=False, default=str)
    (folder / METRICS_FILE).write_text(text + "\n", encoding="utf-8")


def versions(setup: Setup) -> dict[str, str]:
    """Of Python and the libraries that had a part in it."""
    names = ["numpy", "pandas", "sklearn"]
    if setup.algorithm in ("catboost", "xgboost", "lightgbm"):
        names.append(setup.algorithm)
    return {"python": platform.python_version(), **{name: str(need(name).__version__) for name in names}}
