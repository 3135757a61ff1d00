"""`seaproof jobs`: the training jobs of the project."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from seaproof.cli.screen import Screen, facts, moment, table
from seaproof.cli.session import coordinator, open_session, project_options, show_json
from seaproof.cli.train import ENDED, POLL_SECONDS, show_new_log, watch


@click.group("jobs")
def command() -> None:
    """Training jobs: list, describe, logs, stop."""


@command.command("list")
@project_options
@click.option("--status", type=click.Choice(["InProgress", "Completed", "Failed", "Stopping", "Stopped"]))
def list_jobs(folder: Path, as_json: bool, status: str | None) -> None:
    """All training jobs, newest first."""
    session = open_session(folder, as_json)
    with coordinator(session) as client:
        found = client.pages("ListTrainingJobs", {"StatusEquals": status} if status else {}, "TrainingJobSummaries")
    if as_json:
        show_json(found)
        return
    rows = [(j["TrainingJobName"], j["TrainingJobStatus"], moment(j["CreationTime"]), _duration(j)) for j in found]
    table(rows, ("JOB", "STATUS", "CREATED", "TIME"))


@command.command()
@click.argument("job")
@project_options
def describe(job: str, folder: Path, as_json: bool) -> None:
    """Everything that DescribeTrainingJob says about JOB."""
    session = open_session(folder, as_json)
    with coordinator(session) as client:
        found = client.call("DescribeTrainingJob", {"TrainingJobName": job})
        events = client.events("training-job", job)
    if as_json:
        show_json({**found, "Events": events})
        return
    facts(
        {
            "training job": found["TrainingJobName"],
            "arn": found["TrainingJobArn"],
            "status": f"{found['TrainingJobStatus']} ({found['SecondaryStatus']})",
            "reason": found.get("FailureReason"),
            "image": found["AlgorithmSpecification"].get("TrainingImage"),
            "created": moment(found["CreationTime"]),
            "ended": moment(found.get("TrainingEndTime")),
            "model": found.get("ModelArtifacts", {}).get("S3ModelArtifacts"),
            "hyperparameters": "\n".join(f"{k} = {v}" for k, v in found.get("HyperParameters", {}).items()),
            "metrics": "\n".join(f"{m['MetricName']} = {m['Value']:g}" for m in found.get("FinalMetricDataList", [])),
            "transitions": "\n".join(
                f"{moment(t['StartTime'])}  {t['Status']}  {t.get('StatusMessage', '')}"
                for t in found.get("SecondaryStatusTransitions", [])
            ),
            "events": "\n".join(f"{moment(e['time'])}  {e['type']}: {e['message']}" for e in events),
        }
    )


@command.command()
@click.argument("job")
@project_options
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
def logs(job: str, folder: Path, as_json: bool, follow: bool) -> None:
    """What the containers of JOB printed."""
    session = open_session(folder, as_json)
    with coordinator(session) as client:
        client.call("DescribeTrainingJob", {"TrainingJobName": job})
        screen = StdoutLog(as_json)
        print_log(
            lambda offsets: show_new_log(client, "TrainingJobs", job, offsets, screen),
            lambda: (
                follow
                and client.call("DescribeTrainingJob", {"TrainingJobName": job})["TrainingJobStatus"] not in ENDED
            ),
        )


@command.command()
@click.argument("job")
@project_options
def stop(job: str, folder: Path, as_json: bool) -> None:
    """Stop JOB: SIGTERM, two minutes to save its model, SIGKILL."""
    session = open_session(folder, as_json)
    with Screen(quiet=as_json) as screen, coordinator(session) as client:
        client.call("StopTrainingJob", {"TrainingJobName": job})
        ended = watch(client, job, screen)
    if as_json:
        show_json(ended)
    else:
        print(f"{job}: {ended['TrainingJobStatus']}")


class StdoutLog(Screen):
    """Log lines as the result of a command: on stdout, unadorned where there is one stream only, or as JSON lines."""

    def __init__(self, as_json: bool) -> None:
        super().__init__(quiet=True)
        self._as_json = as_json

    def log(self, piece: bytes, prefix: str = "") -> None:
        stream = prefix.strip(" |")
        for line in piece.decode("utf-8", "replace").splitlines():
            if self._as_json:
                print(json.dumps({"stream": stream, "message": line}))
            else:
                print(f"{stream} | {line}" if stream else line)
        sys.stdout.flush()


def print_log(show: Callable[[dict[str, int]], None], goes_on: Callable[[], bool]) -> None:
    """Print a log once, or again and again while `goes_on`; what came in between is not lost."""
    offsets: dict[str, int] = {}
    while goes_on():
        show(offsets)
        time.sleep(POLL_SECONDS)
    show(offsets)


def _duration(job: dict[str, float]) -> str:
    end = job.get("TrainingEndTime")
    return f"{end - job['CreationTime']:.1f} s" if end else ""
