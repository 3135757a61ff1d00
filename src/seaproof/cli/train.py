"""`seaproof train`: one training job on the project's data, its log as it comes, the model at the end."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from seaproof.api.client import Client
from seaproof.cli import job_name, requests, train_away
from seaproof.cli.app import INTERRUPTED, WorkloadFailed
from seaproof.cli.by_config import as_project, checked_config, taken_out
from seaproof.cli.interruption import ctrl_c_waits
from seaproof.cli.screen import Screen, facts
from seaproof.cli.session import Session, coordinator, driver_option, open_session, project_options, show_json
from seaproof.cli.shipping import refuse_with_target, refuse_without_target, stage_options, way
from seaproof.errors import HttpError, SeaproofError, ServiceError
from seaproof.ship.requests import new_name, this_machine, training_job
from seaproof.ship.secrecy import without_secrets
from seaproof.storage.local import LocalStorage
from seaproof.storage.storage import parse_address

POLL_SECONDS = 0.1
ENDED = ("Completed", "Failed", "Stopped")


@click.command("train")
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@project_options
@driver_option
@click.option("--hyperparameter", "-H", "pairs", multiple=True, metavar="NAME=VALUE", help="May be given many times.")
@click.option("--channel", "-c", "channels", multiple=True, metavar="NAME=PATH", help="A folder, a file or s3://.")
@click.option("--instances", type=click.IntRange(1, 100), help="Number of hosts, algo-1 to algo-N.")
@click.option("--name", help="Name of the job.  [default: the project's, and the time]")
@click.option("--detach", is_flag=True, help="Print the job's name and leave it running.")
@click.option(
    "--target", "target_name", type=click.Choice(["aws", "local"]), help="Where: this machine, or an account."
)
@stage_options
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --target: a file of all that is said; its last line is the job's name.",
)
@click.option(
    "--retry",
    type=click.IntRange(0, 30),
    help="With --target: how often to ask again for capacity.  [default: as [ship.training] says]",
)
def command(
    config: Path | None,
    folder: Path,
    as_json: bool,
    driver: str | None,
    pairs: tuple[str, ...],
    channels: tuple[str, ...],
    instances: int | None,
    name: str | None,
    detach: bool,
    target_name: str | None,
    stage: str,
    profile: str | None,
    region: str | None,
    out: Path | None,
    retry: int | None,
) -> None:
    """Run a training job and show its log; the last line says where model.tar.gz is.

    Data, hyperparameters and metrics come from seaproof.toml; options come before it. Ctrl-C stops the job as
    StopTrainingJob does: SIGTERM, two minutes to save the model, SIGKILL.

    \b
      seaproof train -H max_depth=8 --channel train=data/more.csv
      seaproof train --target aws --out training_output.txt

    With a CONFIG (YAML or JSON) no code and no project is needed: it names the table, the column to predict and the
    algorithm, and is checked before anything runs. `seaproof explain CONFIG` says in words what will be done.

    \b
      data: flights.csv
      target: late
      algorithm: boosting
    \b
      seaproof train config.yaml -H model_params.learning_rate=0.05
    """
    hyperparameters = requests.parse_pairs(pairs, "--hyperparameter NAME=VALUE")
    given = requests.parse_pairs(channels, "--channel NAME=PATH")
    if out and not (target_name or stage):
        raise click.UsageError("--out goes with --target or --stage")
    if target_name or stage:
        refuse_with_target(("driver",), target_name)
        target = (folder, as_json, stage, target_name, profile, region)
        over = {"training": {"instance_count": instances}} if instances else {}
        told = (config, given, hyperparameters, over)
        with way(*target, *told, changes=True) as found:
            train_away.train(found, as_json, train_away.Wanted(name, out, detach, retry))
        return
    refuse_without_target("profile", "region", "retry")
    session = open_session(folder, as_json, driver=driver)
    checked = checked_config(session, config, given, hyperparameters, here=True)
    if checked:
        session, given, hyperparameters = as_project(session, checked), {}, {}
    requests.check_project(session.project)
    _train_here(session, given, hyperparameters, instances, name, detach)


def _train_here(
    session: Session,
    channels: dict[str, str],
    hyperparameters: dict[str, str],
    instances: int | None,
    name: str | None,
    detach: bool,
) -> None:
    """The job on the local server, until it has ended or, to `detach`, is begun."""
    job = requests.check_name(name, "--name") if name else new_name(session.project)
    with Screen(quiet=session.json) as screen, coordinator(session) as client:
        with job_name.taken(session, client, "Training", job):
            screen.step("copying data into the project's storage")
            uris = requests.put_channels(session.project, session.state, job, channels)
            request = training_job(
                session.project, this_machine(session.project, session.settings), job, hyperparameters, uris, instances
            )
            with ctrl_c_waits() as was_interrupted:
                client.call("CreateTrainingJob", request)
        if was_interrupted():
            stop(client, "Training", job, screen)
            if detach:
                raise KeyboardInterrupt
        if detach:
            if session.json:
                show_json(without_secrets(client.call("DescribeTrainingJob", {"TrainingJobName": job})))
            else:
                print(job)
            return
        try:
            ended = watch(client, job, screen, interrupted=was_interrupted())
        except HttpError as error:
            raise SeaproofError(
                f"the local server went away while {job} ran: {error.what}",
                next_step=f"The job is on record: seaproof jobs describe {job}",
            ) from error
        empty = show_events(client, job, screen)
    report(ended, session.state, session.json, empty=empty)


def show_events(client: Client, job: str, screen: Screen) -> bool:
    """Show what the history of a job says that its log does not; whether it left no model."""
    events = client.events("training-job", job)
    for event in events:
        if event["type"] in ("driver", "no-model"):
            screen.line(f"note: {event['message']}")
    return any(event["type"] == "no-model" for event in events)


def watch(client: Client, job: str, screen: Screen, *, interrupted: bool = False) -> dict[str, Any]:
    """Show a job's steps and log lines until it has ended; its last description. Ctrl-C stops the job.

    `interrupted`: it was told to stop already.
    """
    offsets: dict[str, int] = {}
    while True:
        try:
            found = client.call("DescribeTrainingJob", {"TrainingJobName": job})
            show_new_log(client, "TrainingJobs", job, offsets, screen)
            if found["TrainingJobStatus"] in ENDED:
                show_new_log(client, "TrainingJobs", job, offsets, screen)
                return found
            message = found["SecondaryStatusTransitions"][-1].get("StatusMessage", "")
            screen.step(f"{job}: {found['SecondaryStatus']}" + (f", {message}" if message else ""))
            time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            if interrupted:
                raise
            interrupted = True
            stop(client, "Training", job, screen)


def stop(client: Client, noun: str, job: str, screen: Screen) -> None:
    """Ask a job (`Training`, `Transform`) to stop, for somebody who watches it; fine where it has ended meanwhile.

    KeyboardInterrupt after it where Ctrl-C came again.
    """
    with ctrl_c_waits() as came_again:
        screen.line("stopping the job; Ctrl-C again leaves without waiting")
        try:
            client.call(f"Stop{noun}Job", {f"{noun}JobName": job})
        except ServiceError as error:
            if error.code != "ValidationException":
                raise
            # It came to its end first: the next look at it says which.
    if came_again():
        raise KeyboardInterrupt


def show_new_log(client: Client, group: str, owner: str, offsets: dict[str, int], screen: Screen) -> None:
    """Print what was added to the log streams of one job or endpoint since the offsets given (bytes by stream)."""
    streams = client.log_streams(group, owner)
    for stream in streams:
        piece, offsets[stream] = client.logs(group, stream, offsets.get(stream, 0))
        if piece:
            host = stream.partition("/")[2]
            if group in ("TrainingJobs", "ProcessingJobs"):
                host = host.rsplit("-", 1)[0]  # algo-1-<epoch>
            screen.log(piece, prefix=f"  {host} | " if len(streams) > 1 else "  | ")


def report(job: dict[str, Any], state: Path, as_json: bool, *, empty: bool = False) -> None:
    """Show how a job ended; WorkloadFailed where it did not complete."""
    if as_json:
        show_json(without_secrets(job))
    name, status = job["TrainingJobName"], job["TrainingJobStatus"]
    if status == "Failed":
        raise WorkloadFailed(
            f"training job {name} failed: {job.get('FailureReason', 'no reason given')}",
            next_step=f"Its whole log: seaproof jobs logs {name}",
        )
    if status == "Stopped":
        # Whoever goes on after this command (`train && serve`) must not take half a model for a whole one.
        if not as_json:
            facts(
                {"training job": name, "status": status, "model": job.get("ModelArtifacts", {}).get("S3ModelArtifacts")}
            )
        raise click.exceptions.Exit(INTERRUPTED)
    archive = job.get("ModelArtifacts", {}).get("S3ModelArtifacts", "")
    shown = taken_out(LocalStorage(state / "s3").path(parse_address(archive))) if archive else None
    if as_json:
        return
    metrics = {metric["MetricName"]: f"{metric['Value']:g}" for metric in job.get("FinalMetricDataList", [])}
    uri = None if empty else job.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    seconds = job.get("TrainingTimeInSeconds")
    facts(
        {
            "training job": name,
            "status": status + (f" after {seconds} s of training" if seconds is not None else ""),
            **metrics,
            "model": uri or "none: the program left nothing in the model folder",
            "file": LocalStorage(state / "s3").path(parse_address(uri)) if uri else None,
            "report": shown,
        }
    )
    if uri:
        print("Next: seaproof serve --detach", file=sys.stderr)
