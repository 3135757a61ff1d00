"""`seaproof train --target aws`: the same job in an account, its log here, and a file of all that it said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import click

from seaproof.cli import requests
from seaproof.cli.app import INTERRUPTED
from seaproof.cli.screen import Screen, facts
from seaproof.cli.session import show_json
from seaproof.cli.ship import carry_out
from seaproof.cli.shipping import OnScreen, Way, stop_job
from seaproof.errors import SeaproofError
from seaproof.ship import drawing
from seaproof.ship.draft import Draft
from seaproof.ship.plan import Plan
from seaproof.ship.secrecy import masked, without_secrets


@dataclass(frozen=True)
class Wanted:
    """What the job is to be called, what is kept of it, and how long it is waited for."""

    name: str | None
    out: Path | None
    detach: bool
    retry: int | None
    """How often capacity is asked for again; None: as [ship.training] says."""


def train(found: Way, as_json: bool, wanted: Wanted) -> None:
    """Upload what changed, run the job, tail its log, print its metrics.

    With `out`, all of that is in the file too, whose last line is the name of the job, however it ends. A job that has
    completed for the same image, data and hyperparameters is not run again. Ctrl-C stops the job.
    """
    name = requests.check_name(wanted.name, "--name") if wanted.name else ""

    def draw(draft: Draft) -> Plan:
        plan = drawing.training_alone(draft, name)
        return plan.detached() if wanted.detach else plan

    plan = draw(found.draft)
    attempts = found.shipment.training.retries if wanted.retry is None else wanted.retry
    job: dict[str, Any] = {}
    with _kept(wanted.out, plan, job) as keep, Screen(quiet=as_json) as screen:
        watcher = OnScreen(screen, keep)
        for line in plan.kept:
            watcher.note(f"there already: {line}")
        job.update(_run(plan, found, watcher, attempts, draw))
        for key, value in {} if wanted.detach else _shown(job).items():
            print(f"{key}  {value}", file=keep) if keep else None
    if as_json:
        show_json(without_secrets(job))
    elif wanted.detach:
        print(job["TrainingJobName"])
    else:
        facts(_shown(job))
    if job["TrainingJobStatus"] == "Stopped":
        raise click.exceptions.Exit(INTERRUPTED)


def _run(plan: Plan, found: Way, watcher: OnScreen, attempts: int, draw: Callable[[Draft], Plan]) -> dict[str, Any]:
    """Do what the plan says: the job as it is then. Ctrl-C stops it."""
    name = plan.names["training job"]
    try:
        plan, ended = carry_out(plan, found, watcher, attempts, draw)
        name, done = plan.names["training job"], ended.get("training job")
    except KeyboardInterrupt as interrupted:
        done = None
        name, status = stop_job(found, "TrainingJob", name, interrupted, watcher)
        if not status:
            raise
    return done or found.target.call("sagemaker", "DescribeTrainingJob", {"TrainingJobName": name})


def job_of(out: Path) -> str:
    """The name of the job in the last line of a file that `--out` wrote."""
    try:
        lines = out.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise requests.unreadable(out, error) from error
    if not lines:
        raise SeaproofError(
            "the file is empty, and the name of the training job should be its last line",
            where=str(out),
            next_step=f"`seaproof train --target aws --out {out}` writes it; --job names a job.",
        )
    return requests.check_name(lines[-1], f"the last line of {out}")


def _shown(job: dict[str, Any]) -> dict[str, Any]:
    metrics = {metric["MetricName"]: f"{metric['Value']:g}" for metric in job.get("FinalMetricDataList", [])}
    seconds = job.get("TrainingTimeInSeconds")
    return {
        **metrics,
        "status": str(job["TrainingJobStatus"]) + (f" after {seconds} s of training" if seconds is not None else ""),
        "model": job.get("ModelArtifacts", {}).get("S3ModelArtifacts", "none"),
        "training job": job["TrainingJobName"],
    }


@contextmanager
def _kept(out: Path | None, plan: Plan, job: dict[str, Any]) -> Iterator[TextIO | None]:
    """The file that keeps what is said, line by line, so that it holds all that was said whatever happens.

    Its last line is the name of the `job`, of the one that was planned where none was run.
    """
    if out is None:
        yield None
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8", buffering=1) as opened:
        try:
            yield opened
        except SeaproofError as error:
            print(f"seaproof: {masked(str(error))}", file=opened)
            raise
        finally:
            print(job.get("TrainingJobName", plan.names["training job"]), file=opened)
