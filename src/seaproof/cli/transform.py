"""`seaproof transform`: a file, a folder or a prefix through a model, as a transform job; the output as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from seaproof.api.client import Client
from seaproof.cli import requests, train_away, transform_away
from seaproof.cli.app import INTERRUPTED, WorkloadFailed
from seaproof.cli.screen import Screen, facts, table
from seaproof.cli.serve import find_model
from seaproof.cli.session import Session, coordinator, driver_option, open_session, project_options, show_json
from seaproof.cli.shipping import stage_options, way
from seaproof.cli.transform_input import fetch, forget, put_input
from seaproof.cli.transform_request import Asked, again, dry_run, request_of
from seaproof.cli.transform_watch import watch
from seaproof.errors import HttpError, SeaproofError, ServiceError
from seaproof.ship.requests import BUCKET, new_name, this_machine
from seaproof.ship.requests import model as model_request
from seaproof.storage.local import LocalStorage
from seaproof.storage.storage import parse_address

SPLITS = ("None", "Line", "RecordIO", "TFRecord")


@click.command("transform")
@click.argument("source", metavar="[INPUT]", required=False)
@project_options
@driver_option
@click.option("--model", "-m", help="A model, a job, a model.tar.gz, a folder, s3://.  [default: the last job]")
@click.option("--no-model", is_flag=True, help="The container needs no model archive.")
@click.option("--output", "-o", help="A folder for the output, or s3://.  [default: the project's own storage]")
@click.option("--content-type", "-t", help="Of the input.  [default: by the name of the first file]")
@click.option("--accept", "-a", help="What to answer.  [default: as the input, for CSV and JSON Lines]")
@click.option("--split", type=click.Choice(SPLITS), help="Where records end.  [default: Line for CSV and JSON Lines]")
@click.option("--single", is_flag=True, help="One record in each request (BatchStrategy SingleRecord).")
@click.option("--assemble", type=click.Choice(("None", "Line")), help="AssembleWith.  [default: Line where split is]")
@click.option("--max-payload", type=click.IntRange(0, 100), metavar="MB", help="Of one request; 0: no limit.")
@click.option("--concurrent", "-c", type=click.IntRange(1, 100), help="Requests at a time for each instance.")
@click.option("--instances", "-n", type=click.IntRange(1, 100), default=1, help="Containers that share the objects.")
@click.option("--gzip", is_flag=True, help="The input is compressed.  [default: by the name of the first file]")
@click.option("--manifest", is_flag=True, help="INPUT is a manifest file in s3://.")
@click.option("--input-filter", metavar="JSONPATH", help="What of a record is sent, such as '$[1:]'.")
@click.option("--output-filter", metavar="JSONPATH", help="What of the result is kept.")
@click.option("--join", is_flag=True, help="Join each record to its prediction (JoinSource Input).")
@click.option("--timeout", type=click.IntRange(1, 3600), help="Seconds for one request.  [default: 600]")
@click.option("--retries", type=click.IntRange(0, 3), help="After no answer or a 5xx.  [default: 3]")
@click.option("--env", "-e", "pairs", multiple=True, metavar="NAME=VALUE", help="For the container; many times.")
@click.option("--target-model", help="Which model of a multi-model container.")
@click.option("--repeat-header", is_flag=True, help="Send the first line of each object in each of its requests.")
@click.option("--quarantine", is_flag=True, help="Put records that fail aside and go on without them.")
@click.option("--quoted-newlines", is_flag=True, help="A line end within double quotes ends no record.")
@click.option("--spread", is_flag=True, help="Spread each object's requests over all instances.")
@click.option("--engine", type=click.Choice(("threads", "ray")), default="threads", help="Where the work is done.")
@click.option("--resume", metavar="JOB", help="Go on with a job that was stopped, killed or failed.")
@click.option("--dry-run", is_flag=True, help="Split only: how many requests, and what is over the limit.")
@click.option(
    "--target", "target_name", type=click.Choice(["aws", "local"]), help="Where: this machine, or an account."
)
@stage_options
@click.option("--job", help="With --target: the training job whose model predicts.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --target: a file of `seaproof train --out`; the job is the one in its last line.",
)
@click.option("--retry", default=3, show_default=True, help="With --target aws: how often to ask again for capacity.")
@click.option("--name", help="Name of the job.  [default: the project's, and the time]")
@click.option("--detach", is_flag=True, help="Print the job's name and leave it running.")
def command(
    source: str | None,
    folder: Path,
    as_json: bool,
    driver: str | None,
    model: str | None,
    no_model: bool,
    output: str | None,
    resume: str | None,
    name: str | None,
    detach: bool,
    target_name: str | None,
    stage: str,
    profile: str | None,
    region: str | None,
    job: str | None,
    out: Path | None,
    retry: int,
    **given: Any,
) -> None:
    """Send every record of INPUT (a file, a folder, s3://bucket/prefix) through a model and keep what it answers.

    It is a transform job as on SageMaker: each object becomes one `.out`, whole or not at all, its records in order.
    The options from --target-model to --resume are more than SageMaker has. With --target or --stage the job runs in
    an account, as [ship.transform] of seaproof.toml says. Ctrl-C stops the job; --resume goes on where it was, with
    no record lost or done twice, also after a kill.

    \b
      seaproof transform data/rows.csv --output predictions
      seaproof transform data/ --model model.tar.gz --input-filter '$[1:]' --join --output predictions
      seaproof transform data/ --target aws --out training_output.txt
      seaproof transform big.csv --repeat-header --concurrent 4 --dry-run
    """
    if bool(source) == bool(resume):
        raise click.UsageError("say either INPUT or --resume JOB")
    if model is not None and no_model:
        raise click.UsageError("--model and --no-model exclude each other")
    if target_name or stage:
        trained = job or (train_away.job_of(out) if out else model)
        if not source or not trained:
            raise click.UsageError("--target and --stage need INPUT, and --job NAME or --out FILE of the training")
        with way(folder, as_json, stage, target_name, profile, region) as found:
            transform_away.predict(found, as_json, source, trained, Path(output) if output else None, retry)
        return
    if job or out:
        raise click.UsageError("--job and --out go with --target or --stage; --model takes a job's name here")
    session = open_session(folder, as_json, driver=driver)
    asked = Asked(**{**given, "pairs": requests.parse_pairs(given["pairs"], "--env NAME=VALUE")})
    if asked.dry_run:
        _show_survey(session, source, asked)
        return
    named = requests.check_name(name, "--name") if name else new_name(session.project)
    with Screen(quiet=as_json) as screen, coordinator(session) as client:
        if resume:
            ran, target = _resume(client, resume, named, output)
        else:
            assert source is not None
            requests.check_project(session.project)
            ran, target = _start(session, client, screen, source, model, no_model, output, named, asked)
        if detach:
            print(ran) if not as_json else show_json(client.call("DescribeTransformJob", {"TransformJobName": ran}))
            return
        ended, numbers = _to_its_end(session, client, ran, screen)
        written = fetch(session, ended["TransformOutput"]["S3OutputPath"], target) if target else []
    report(session, ended, numbers, target, written, as_json)


def _to_its_end(session: Session, client: Client, job: str, screen: Screen) -> tuple[dict[str, Any], dict[str, Any]]:
    """Show the job until it has ended: its description, and its numbers."""
    try:
        ended = watch(client, job, session.state, screen)
    except HttpError as error:
        raise SeaproofError(
            f"the local server went away while {job} ran: {error.what}",
            next_step=f"The job is on record; this goes on with it: seaproof transform --resume {job}",
        ) from error
    if ended["TransformJobStatus"] == "Completed":
        forget(session, ended["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])
    return ended, _numbers(client, job)


def _start(
    session: Session,
    client: Client,
    screen: Screen,
    source: str,
    model: str | None,
    no_model: bool,
    output: str | None,
    job: str,
    asked: Asked,
) -> tuple[str, Path | None]:
    """Ask for the job: its name, and the folder that its output is to be copied to."""
    uri, first = put_input(session, job, source, screen)
    target = None if not output or output.startswith("s3://") else Path(output)
    out = output if output and target is None else f"s3://{BUCKET}/{session.project.name}/transform/{job}/output"
    name = _model_name(session, client, model, no_model, job)
    client.call("CreateTransformJob", request_of(session, job, name, uri, out, first, asked))
    return job, target


def _model_name(session: Session, client: Client, model: str | None, no_model: bool, job: str) -> str:
    if model is not None:
        try:
            return str(client.call("DescribeModel", {"ModelName": model})["ModelName"])
        except ServiceError:
            pass  # a file, a folder, a job
    url = None if no_model else find_model(session, client, model)
    client.call(
        "CreateModel", model_request(session.project, this_machine(session.project, session.settings), job, url)
    )
    return job


def _resume(client: Client, old: str, job: str, output: str | None) -> tuple[str, Path | None]:
    """Go on with a job: with one that still runs, or in a new one that takes over what the old one had done."""
    target = Path(output) if output and not output.startswith("s3://") else None
    found = client.call("DescribeTransformJob", {"TransformJobName": old})
    if found["TransformJobStatus"] == "Completed":
        raise SeaproofError(f"transform job {old} is Completed; there is nothing left to do")
    if found["TransformJobStatus"] in ("InProgress", "Stopping"):
        return old, target
    tags = client.call("ListTags", {"ResourceArn": found["TransformJobArn"]})["Tags"]
    client.call("CreateTransformJob", again(found, tags, job))
    return job, target


def _numbers(client: Client, job: str) -> dict[str, Any]:
    events = [event for event in client.events("transform-job", job) if event["type"] == "numbers"]
    found: dict[str, Any] = events[-1]["numbers"] if events else {}
    return found


def report(
    session: Session,
    job: dict[str, Any],
    numbers: dict[str, Any],
    target: Path | None,
    written: list[Path],
    as_json: bool,
) -> None:
    """Show how a job ended; WorkloadFailed where it did not complete."""
    if as_json:
        show_json({**job, "Numbers": numbers, "Files": [str(path) for path in written]})
    name, status = job["TransformJobName"], job["TransformJobStatus"]
    out = job["TransformOutput"]["S3OutputPath"]
    if status == "Failed":
        raise WorkloadFailed(
            f"transform job {name} failed: {job.get('FailureReason', 'no reason given')}",
            next_step=f"When that is mended: seaproof transform --resume {name}",
        )
    if not as_json:
        seconds = numbers.get("now", 0) - numbers.get("started", 0)
        aside = int(numbers.get("bad") or 0)
        facts(
            {
                "transform job": name,
                "status": f"{status} after {seconds:.1f} s",
                "objects": f"{numbers.get('objects_done', 0):,}",
                "records": f"{numbers.get('records', 0):,} in {numbers.get('requests', 0):,} requests",
                "put aside": f"{aside:,} records, in *.quarantine.jsonl" if aside else None,
                "output": out,
                "folder": target or LocalStorage(session.state / "s3").path(parse_address(out.rstrip("/"))),
            }
        )
    if status == "Stopped":
        if not as_json:
            print(f"To go on where it was: seaproof transform --resume {name}")
        raise click.exceptions.Exit(INTERRUPTED)


def _show_survey(session: Session, source: str | None, asked: Asked) -> None:
    if source is None:
        raise click.UsageError("--dry-run needs INPUT")
    found = dry_run(session, source, asked)
    if session.json:
        show_json(found)
    else:
        rows = [
            (name, f"{one['requests']:,}", f"{one['bytes'] / 2**20:,.1f}", f"{one['oversizes']:,}")
            for name, one in found["objects"].items()
        ]
        table(rows, ("OBJECT", "REQUESTS", "MB", "OVER THE LIMIT"))
        for name, one in found["objects"].items():
            for over in one["oversize"]:
                place = f"line {over['line']:,}" if over["line"] else f"byte {over['start']:,}"
                size = f"{over['size']:,} bytes" if over["size"] >= 0 else "more"
                print(f"{name}: the record at {place} has {size}, and a request takes {found['limit']:,}")
    if any(one["oversizes"] for one in found["objects"].values()):
        raise click.exceptions.Exit(1)
