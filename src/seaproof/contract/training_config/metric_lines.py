"""The `name=value` lines that a training by config prints, and the MetricDefinitions that find them."""

from __future__ import annotations

from seaproof.contract.training_config.meaning import TrainingConfig
from seaproof.contract.training_config.names import CLASSIFICATION, METRICS

TRAIN, FOLDS = "train:", "cv:"
_NUMBER = r"(-?[0-9.]+(?:e[-+]?[0-9]+)?)"


def fitting(task: str, classes: int) -> list[str]:
    """The metrics that are defined for a task; `classes` is their number, 0 where it is not known."""
    names = [name for name, metric in METRICS.items() if not task or metric.task == task]
    return [name for name in names if classes in (0, 2) or not METRICS[name].two_classes]


def metric_line(name: str, value: float) -> str:
    """One line of the log."""
    return f"{name}={value:.6g}"


def metric_definitions(config: TrainingConfig, task: str, classes: int) -> dict[str, str]:
    """Name -> regular expression of every metric that such a training prints, the standard deviations of folds left
    out: SageMaker takes 40."""
    names = list(config.metrics) or fitting(task, classes if task == CLASSIFICATION else 0)
    names = [part for name in names for part in ((name, f"{name}_p") if name == "hosmer_lemeshow" else (name,))]
    prefixes = [TRAIN, *([FOLDS] if config.folds else [])]
    if config.split.test or config.split.test_values or config.data.test:
        prefixes.insert(0, "")
    every = [
        f"{prefix}{name}" for prefix in prefixes for name in names if not (prefix == FOLDS and name.endswith("_p"))
    ]
    return {name: rf"(?:^|\s){name}={_NUMBER}" for name in every[:40]}
