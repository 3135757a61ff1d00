"""`seaproof jobs`: the training, processing and transform jobs of the project."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from seaproof.api.client import Client
from seaproof.cli.job_facts import FACTS
from seaproof.cli.screen import Screen, facts, moment, table
from seaproof.cli.session import coordinator, open_session, project_options, show_json
from seaproof.cli.train import ENDED, POLL_SECONDS, show_new_log, watch
from seaproof.errors import ServiceError
from seaproof.ship.secrecy import without_secrets

NOUNS = ("Training", "Processing", "Transform")
"""The kinds of jobs, as the API's members have them."""


@click.group("jobs")
def command() -> None:
    """Training, processing and transform jobs: list, describe, logs, stop."""


@command.command("list")
@project_options
@click.option("--status", type=click.Choice(["InProgress", "Completed", "Failed", "Stopping", "Stopped"]))
def list_jobs(folder: Path, as_json: bool, status: str | None) -> None:
    """All training, processing and transform jobs, newest first."""
    session = open_session(folder, as_json)
    with coordinator(session) as client:
        found = [
            (noun, job)
            for noun in NOUNS
            for job in client.pages(
                f"List{noun}Jobs", {"StatusEquals": status} if status else {}, f"{noun}JobSummaries"
            )
        ]
    found.sort(key=lambda one: -one[1]["CreationTime"])
    if as_json:
        show_json([job for _, job in found])
        return
    rows = [
        (
            job[f"{noun}JobName"],
            noun.lower(),
            job[f"{noun}JobStatus"],
            moment(job["CreationTime"]),
            _duration(noun, job),
        )
        for noun, job in found
    ]
    table(rows, ("JOB", "KIND", "STATUS", "CREATED", "TIME"))
    if not rows:
        print(f"no job {f'is {status}' if status else 'was started yet: `seaproof train` runs one'}", file=sys.stderr)


@command.command(short_help="Everything that is known of JOB, and its history.")
@click.argument("job")
@project_options
def describe(job: str, folder: Path, as_json: bool) -> None:
    """Everything that DescribeTrainingJob, DescribeProcessingJob or DescribeTransformJob says about JOB."""
    session = open_session(folder, as_json)
    with coordinator(session) as client:
        noun, found = _find(client, job)
        found = without_secrets(found)
        events = client.events(f"{noun.lower()}-job", job)
    if as_json:
        show_json({**found, "Events": events})
        return
    told = "\n".join(f"{moment(e['time'])}  {e['type']}: {e['message']}" for e in events)
    facts({**FACTS[noun](found), "events": told})


@command.command()
@click.argument("job")
@project_options
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
def logs(job: str, folder: Path, as_json: bool, follow: bool) -> None:
    """What the containers of JOB printed."""
    session = open_session(folder, as_json)
    with coordinator(session) as client:
        noun, _ = _find(client, job)
        screen = StdoutLog(as_json)
        print_log(
            lambda offsets: show_new_log(client, f"{noun}Jobs", job, offsets, screen),
            lambda: follow and _describe(client, noun, job)[f"{noun}JobStatus"] not in ENDED,
        )


@command.command(short_help="Stop JOB, and wait until it has ended.")
@click.argument("job")
@project_options
def stop(job: str, folder: Path, as_json: bool) -> None:
    """Stop JOB: SIGTERM, two minutes to save what it has, SIGKILL. A transform job keeps what it has written."""
    session = open_session(folder, as_json)
    with Screen(quiet=as_json) as screen, coordinator(session) as client:
        noun, _ = _find(client, job)
        client.call(f"Stop{noun}Job", {f"{noun}JobName": job})
        ended = watch(client, job, screen) if noun == "Training" else _watch(client, noun, job, screen)
    if as_json:
        show_json(without_secrets(ended))
    else:
        print(f"{job}: {ended[f'{noun}JobStatus']}")


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


def _find(client: Client, job: str) -> tuple[str, dict[str, Any]]:
    """Of which kind a job is, and its description; ServiceError where no kind has one of this name."""
    absent: ServiceError | None = None
    for noun in NOUNS:
        try:
            return noun, _describe(client, noun, job)
        except ServiceError as error:
            absent = absent or error
    assert absent is not None
    raise absent


def _describe(client: Client, noun: str, job: str) -> dict[str, Any]:
    return client.call(f"Describe{noun}Job", {f"{noun}JobName": job})


def _watch(client: Client, noun: str, job: str, screen: Screen) -> dict[str, Any]:
    """Show the log of a processing or transform job until it has ended; its last description."""
    offsets: dict[str, int] = {}
    while (found := _describe(client, noun, job))[f"{noun}JobStatus"] not in ENDED:
        show_new_log(client, f"{noun}Jobs", job, offsets, screen)
        screen.step(f"{job}: {found[f'{noun}JobStatus']}")
        time.sleep(POLL_SECONDS)
    show_new_log(client, f"{noun}Jobs", job, offsets, screen)
    return found


def _duration(noun: str, job: dict[str, float]) -> str:
    end = job.get(f"{noun}EndTime")
    return f"{end - job['CreationTime']:.1f} s" if end else ""
