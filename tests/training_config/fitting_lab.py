"""One training job in a folder, run in this process: its hyperparameters and channels as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from seaproof.contract.environ import TrainingEnviron
from seaproof.contract.opt_ml import Channel, TrainingInput, write_training
from seaproof.contract.training_config.flat import flatten
from seaproof.training.by_config import train_by_config
from seaproof.training.job import Job


@dataclass(frozen=True)
class Done:
    """What a job left."""

    root: Path

    @property
    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / "output" / "data" / "metrics.json").read_text())
        return found

    @property
    def metrics(self) -> dict[str, float]:
        found: dict[str, float] = self.told["metrics"]
        return found

    @property
    def schema(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / "model" / "schema.json").read_text())
        return found

    @property
    def report(self) -> str:
        return (self.root / "output" / "data" / "report.html").read_text()

    def files(self) -> dict[str, bytes]:
        """The model folder, byte for byte."""
        return {path.name: path.read_bytes() for path in sorted((self.root / "model").iterdir())}


def run(root: Path, config: Mapping[str, Any], train: str, test: str = "") -> Done:
    """Train by a config on one CSV file, and measure on another where one is given."""
    channels = {"train": train, **({"test": test} if test else {})}
    return run_hyperparameters(root, flatten(config), channels)


def run_hyperparameters(root: Path, hyperparameters: Mapping[str, str], channels: Mapping[str, str]) -> Done:
    """Train by hyperparameters as they are."""
    write_training(root, TrainingInput(hyperparameters, {name: Channel() for name in channels}))
    for name, text in channels.items():
        (root / "input" / "data" / name / "rows.csv").write_text(text)
    with threadpool_limits(1):  # tests run side by side, and idle threads of OpenMP take the CPU from each other
        train_by_config(Job.read(TrainingEnviron(base_dir=str(root))))
    return Done(root)
