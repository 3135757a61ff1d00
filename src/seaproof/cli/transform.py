"""`seaproof transform`: a file, a folder or a prefix through a model, as a transform job; the output as files."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import click

from seaproof.api.client import Client
from seaproof.cli import job_name, requests
from seaproof.cli.by_config import served_session
from seaproof.cli.interruption import ctrl_c_waits
from seaproof.cli.screen import Screen
from seaproof.cli.serve import find_model
from seaproof.cli.session import Session, coordinator, driver_option, open_session, project_options, show_json
from seaproof.cli.shipping import refuse_without_target, stage_options
from seaproof.cli.train import stop
from seaproof.cli.transform_away import Away, Wanted
from seaproof.cli.transform_input import fetch, forget, forget_left_over, put_input
from seaproof.cli.transform_report import report, survey
from seaproof.cli.transform_request import Asked, request_of
from seaproof.cli.transform_resume import check_options, resume
from seaproof.cli.transform_watch import watch
from seaproof.errors import HttpError, SeaproofError, ServiceError
from seaproof.ship.requests import BUCKET, new_name, this_machine
from seaproof.ship.requests import model as model_request

Options = TypeVar("Options", Away, "Here")
_GO_ON = ", or go on with that one: seaproof transform --resume {}"
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
@click.option(
    "--retry",
    type=click.IntRange(0, 30),
    help="With --target: how often to ask again for capacity.  [default: as [ship.training] says]",
)
@click.option("--name", help="Name of the job.  [default: the project's, and the time]")
@click.option("--detach", is_flag=True, help="Print the job's name and leave it running.")
def command(source: str | None, folder: Path, as_json: bool, driver: str | None, **given: Any) -> None:
    """Send every record of INPUT (a file, a folder, s3://bucket/prefix) through a model and keep what it answers.

    It is a transform job as on SageMaker: each object becomes one `.out`, whole or not at all, its records in order.
    The options from --target-model to --resume are more than SageMaker has. With --target or --stage the job runs in
    an account, as [ship.transform] of seaproof.toml says. Ctrl-C stops the job; --resume goes on where it was, with
    no record lost or done twice, also after a kill; options of how requests are made and sent may then be others.

    \b
      seaproof transform data/rows.csv --output predictions
      seaproof transform data/ --input-filter '$[1:]' --join --output out
      seaproof transform data/ --target aws --out training_output.txt
      seaproof transform big.csv --repeat-header --concurrent 4 --dry-run
      seaproof transform --resume JOB --max-payload 1 --quarantine
    """
    if bool(source) == bool(given["resume"]):
        raise click.UsageError("say either INPUT or --resume JOB")
    if given["model"] is not None and given["no_model"]:
        raise click.UsageError("--model and --no-model exclude each other")
    if given["manifest"] and source and not source.startswith("s3://"):
        raise click.UsageError("--manifest needs INPUT in s3://: what it lists is there, too")
    away, here = _taken(given, Away), _taken(given, Here)
    asked = Asked(**{**given, "pairs": requests.parse_pairs(given["pairs"], "--env NAME=VALUE")})
    if away.is_asked:
        away.transform(folder, as_json, source, asked, Wanted(here.model, here.output, here.name, here.detach))
        return
    if away.job or away.out:
        raise click.UsageError("--job and --out go with --target or --stage; --model takes a job's name here")
    refuse_without_target("profile", "region", "retry")
    if here.resume:
        check_options(here.output)
    if here.target is not None and here.target.exists() and not here.target.is_dir():
        raise click.BadParameter(f"{here.output!r} is a file; name a folder for the output", param_hint="--output")
    session = served_session(open_session(folder, as_json, driver=driver))
    if asked.dry_run:
        survey(session, source, asked)
    else:
        _transform(session, source, here, asked)


def _taken(given: dict[str, Any], kind: type[Options]) -> Options:
    """Those of the command's options that are fields of `kind`, taken out of `given`."""
    return kind(**{field.name: given.pop(field.name) for field in fields(kind)})


@dataclass(frozen=True)
class Here:
    """The options of a job on this machine that say what for, not how."""

    model: str | None
    no_model: bool
    output: str | None
    resume: str | None
    name: str | None
    detach: bool

    @property
    def target(self) -> Path | None:
        """The folder that the output is to be copied to."""
        return Path(self.output) if self.output and not self.output.startswith("s3://") else None


def _transform(session: Session, source: str | None, here: Here, asked: Asked) -> None:
    """Run the job, or go on with one, and show it until it has ended."""
    named = requests.check_name(here.name, "--name") if here.name else new_name(session.project)
    with Screen(quiet=session.json) as screen, coordinator(session) as client:
        forget_left_over(session, client)
        ran = named
        if source is None:
            with ctrl_c_waits() as came:
                ran = resume(client, str(here.resume), named, asked)
            interrupted = came()
        else:
            requests.check_project(session.project)
            with job_name.taken(session, client, "Transform", named, _GO_ON.format(named)):
                interrupted = _start(session, client, screen, source, named, here, asked)
        if interrupted:
            stop(client, "Transform", ran, screen)
            if here.detach:
                raise KeyboardInterrupt
        if here.detach:
            found = client.call("DescribeTransformJob", {"TransformJobName": ran})
            print(ran) if not session.json else show_json(found)
            return
        ended, numbers = _to_its_end(session, client, ran, screen, interrupted)
        out = ended["TransformOutput"]["S3OutputPath"]
        written = fetch(session, out, here.target) if here.target else []
    report(session, ended, numbers, here.target, written)


def _to_its_end(
    session: Session, client: Client, job: str, screen: Screen, interrupted: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Show the job until it has ended: its description, and its numbers."""
    try:
        ended = watch(client, job, session.state, screen, interrupted=interrupted)
    except HttpError as error:
        raise SeaproofError(
            f"the local server went away while {job} ran: {error.what}",
            next_step=f"The job is on record; this goes on with it: seaproof transform --resume {job}",
        ) from error
    if ended["TransformJobStatus"] == "Completed":
        forget(session, ended["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])
    return ended, _numbers(client, job)


def _start(session: Session, client: Client, screen: Screen, source: str, job: str, here: Here, asked: Asked) -> bool:
    """Ask for the job; whether Ctrl-C came meanwhile."""
    uri, first = put_input(session, job, source, asked, screen)
    ours = f"s3://{BUCKET}/{session.project.name}/transform/{job}/output"
    out = here.output if here.output and here.target is None else ours
    name = ""
    try:
        name = _model_name(session, client, here, job)
        with ctrl_c_waits() as was_interrupted:
            client.call("CreateTransformJob", request_of(session, job, name, uri, out, first, asked))
    except HttpError:
        raise  # it may have begun
    except SeaproofError:
        if name == job:
            client.call("DeleteModel", {"ModelName": job})
        if not source.startswith("s3://"):
            forget(session, uri)
        raise
    return was_interrupted()


def _model_name(session: Session, client: Client, here: Here, job: str) -> str:
    if here.model is not None:
        try:
            return str(client.call("DescribeModel", {"ModelName": here.model})["ModelName"])
        except ServiceError:
            pass  # a file, a folder, a job
    url = None if here.no_model else find_model(session, client, here.model)
    client.call(
        "CreateModel", model_request(session.project, this_machine(session.project, session.settings), job, url)
    )
    return job


def _numbers(client: Client, job: str) -> dict[str, Any]:
    events = [event for event in client.events("transform-job", job) if event["type"] == "numbers"]
    found: dict[str, Any] = events[-1]["numbers"] if events else {}
    return found
