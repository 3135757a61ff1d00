"""`seaproof train --target aws`: the same job in an account, its log here, and a file of all that it said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from seaproof.cli import requests
from seaproof.cli.screen import Screen, facts
from seaproof.cli.session import show_json
from seaproof.cli.ship import carry_out
from seaproof.cli.shipping import OnScreen, Way
from seaproof.ship import drawing
from seaproof.ship.secrecy import without_secrets


def train(found: Way, as_json: bool, out: Path | None, retry: int) -> None:
    """Upload what changed, run the job, tail its log, print its metrics.

    With `out`, all of that is in the file too, whose last line is the name of the job. A job that has completed for the
    same image, data and hyperparameters is not run again.
    """
    plan = drawing.training_alone(found.draft)
    with _kept(out) as keep, Screen(quiet=as_json) as screen:
        watcher = OnScreen(screen, keep)
        for line in plan.kept:
            watcher.note(f"there already: {line}")
        done = carry_out(plan, found, watcher, retry).get("training job")
        job = done or found.target.call(
            "sagemaker", "DescribeTrainingJob", {"TrainingJobName": plan.names["training job"]}
        )
        shown = _shown(job)
        if keep:
            for name, value in shown.items():
                print(f"{name}  {value}", file=keep)
            print(job["TrainingJobName"], file=keep)
    if as_json:
        show_json(without_secrets(job))
    else:
        facts(shown)


def job_of(out: Path) -> str:
    """The name of the job in the last line of a file that `--out` wrote."""
    try:
        lines = out.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise requests.unreadable(out, error) from error
    return requests.check_name(lines[-1] if lines else "", f"the last line of {out}")


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
def _kept(out: Path | None) -> Iterator[TextIO | None]:
    """The file that keeps what is said, line by line, so that it holds all that was said whatever happens."""
    if out is None:
        yield None
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8", buffering=1) as opened:
        yield opened
