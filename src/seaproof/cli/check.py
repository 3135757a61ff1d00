"""`seaproof check`: hold an image, a folder, an archive or a request against the platform's contract."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seaproof.cli.app import NotChecked, checking
from seaproof.cli.interruption import sigterm_interrupts
from seaproof.cli.screen import Screen
from seaproof.cli.session import driver_option, show_json
from seaproof.errors import SeaproofError
from seaproof.project import FILE, load_project

if TYPE_CHECKING:
    from seaproof.check.check import Check
    from seaproof.check.options import Options

FORMATS = ("text", "json", "junit", "sarif", "markdown", "html")
_ACCOUNT = "0" * 12
MODES = ("File", "FastFile", "Pipe")
ROLES = ("realtime", "serverless", "async", "batch", "multi-model", "pipeline", "training", "processing")


@click.command("check")
@click.argument("target", required=False)
@click.option(
    "--as", "roles", metavar="ROLES", help=f"What it is to be: {', '.join(ROLES)}.  [default: what it can be]"
)
@click.option("--payload", type=click.Path(path_type=Path), help="A body that it answers.")
@click.option("--content-type", metavar="TYPE", help="Content-Type of the payload.  [default: by its file name]")
@click.option("--accept", metavar="TYPE", default="", help="Accept of the payload.")
@click.option("--model", type=click.Path(path_type=Path), help="model.tar.gz or folder for /opt/ml/model.")
@click.option("--channel", "channels", multiple=True, metavar="NAME=PATH", help="Training data; may be repeated.")
@click.option("--hyperparameter", "hyperparameters", multiple=True, metavar="NAME=VALUE", help="May be repeated.")
@click.option(
    "--input-mode", type=click.Choice(["File", "FastFile", "Pipe"]), default="File", help="How training data arrives."
)
@click.option("--hosts", type=click.IntRange(1, 16), default=1, help="Hosts of the training job; all are started.")
@click.option("--sharded", is_flag=True, help="Training data is dealt out to the hosts (ShardedByS3Key).")
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="A variable of the container.")
@click.option("--instance-type", default="ml.m5.large", show_default=True, help="Where it is to run.")
@click.option("--region", default="", help="To which requests will be sent.  [default: as they name it]")
@click.option("--stage", default="", help="The stage of [ship] whose requests are checked.")
@click.option("--hold", type=float, default=0.0, help="Hold an invocation for so many seconds: 55, or more for async.")
@click.option("--only", metavar="IDS", default="", help="Only these checks: ids and families, with commas.")
@click.option("--skip", metavar="IDS", default="", help="Not these.")
@click.option("--fast", is_flag=True, help="Look only, start nothing: under 5 s.")
@click.option("--patience", type=float, default=60.0, show_default=True, help="Seconds to wait for a start, or a job.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="Of the report.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the report to this file.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with pictures as well.")
@click.option("--list", "listing", is_flag=True, help="List all checks, and end.")
@click.option("--explain", metavar="ID", help="Say what a check is about, and end.")
@driver_option
def command(target: str | None, listing: bool, explain: str | None, as_json: bool, **given: Any) -> None:
    """Prove TARGET against SageMaker's contract, before it is pushed.

    TARGET is an image, a folder with a Dockerfile, a folder with `serve` and `train`, a model.tar.gz, a seaproof.toml
    (or its folder), a JSON file of requests, an image saved in a file, an endpoint that runs here, or the address of a
    container that runs (http://localhost:8080).

    \b
      seaproof check my-image:latest --payload row.csv --content-type text/csv
      seaproof check . --fast
      seaproof check model.tar.gz
      seaproof check my-image --as batch --format junit --output check.xml

    Containers are started under the platform's conditions: its arguments and variables, a read-only /opt/ml/model, no
    network, no more rights and memory than there. What would fail comes first, with evidence and a fix.

    Exit codes: 0 proved, 1 it would fail, 2 it could not be checked.
    """
    from seaproof.check import catalogue

    if listing:
        _list(catalogue.by_id(), as_json)
        return
    if explain:
        with checking():
            _explain(catalogue.find_check(explain))
        return
    if not target:
        raise click.UsageError("name what is to be checked: an image, a folder, a model.tar.gz, a seaproof.toml")
    sys.exit(_check(target, "json" if as_json else given["form"], given))


def _check(target: str, form: str, given: dict[str, Any]) -> int:
    from seaproof.check.reports import FORMATS as REPORTS
    from seaproof.check.runner import run_checks

    output, html = given["output"], given["html"]
    for path in (output, html):
        if path is not None and not path.parent.is_dir():
            raise NotChecked("there is no such folder", where=str(path.parent), next_step="Make it, or name another.")
    with checking(), sigterm_interrupts(), Screen(quiet=form == "json" and output is None) as screen:
        report = run_checks(target, _with_drafted(target, _options(given), given["stage"]), screen.step)
    text = REPORTS[form](report)
    if output is not None:
        output.write_text(text, encoding="utf-8")
        print(REPORTS["text"](report) if form != "text" else f"written to {output}")
    else:
        print(text, end="")
    if html is not None:
        from seaproof.check.reports import page

        html.write_text(page.render(report), encoding="utf-8")
        print(f"{html}: the same as a page, with pictures", file=sys.stderr)
    return report.exit_code


def _options(given: dict[str, Any]) -> Options:
    from seaproof.check.options import Options
    from seaproof.check.project_options import read_payload
    from seaproof.settings import Settings

    roles = tuple(role.strip() for role in (given["roles"] or "").split(",") if role.strip())
    for role in roles:
        if role not in ROLES:
            raise click.BadParameter(f"{role!r} is none of {', '.join(ROLES)}", param_hint="--as")
    settings = Settings.load()
    payload, content_type = given["payload"], given["content_type"] or ""
    if payload is None and content_type:
        raise click.UsageError("--content-type is that of --payload, which was not given")
    return Options(
        roles=roles,
        only=_names(given["only"]),
        skip=_names(given["skip"]),
        fast=given["fast"],
        payload=read_payload(payload, content_type, given["accept"]) if payload is not None else None,
        model=given["model"],
        channels=_pairs(given["channels"], "--channel"),
        hyperparameters=_pairs(given["hyperparameters"], "--hyperparameter"),
        environment=_pairs(given["variables"], "--env"),
        input_mode=given["input_mode"],
        hosts=given["hosts"],
        sharded=("*",) if given["sharded"] else (),
        region=given["region"],
        hold=given["hold"],
        instance_type=given["instance_type"],
        patience=given["patience"],
        startup_seconds=settings.startup_timeout,
        invocation_seconds=settings.invocation_timeout,
        stop_seconds=settings.stop_endpoint_grace,
        stop_job_seconds=settings.stop_job_grace,
        memory=settings.memory * 1024 * 1024 or Options.memory,
        driver=given["driver"] or settings.driver,
    )


def _with_drafted(target: str, options: Options, stage: str) -> Options:
    """The options with what `seaproof ship` would send to SageMaker, where there is a [ship]; AWS is not asked."""
    path = Path(target)
    file = path / FILE if path.is_dir() else path
    if file.suffix != ".toml" or not file.is_file():
        return options
    project = load_project(file)
    if not (project.ship or project.stages or stage):
        return options
    from seaproof.settings import Settings
    from seaproof.ship import blank, drawing, shipment

    settings = Settings.load(file=project.settings)
    try:
        wanted = shipment.read(project, stage)
        region = options.region or wanted.region or settings.region
        steps = drawing.everything(blank.whole(project, settings, wanted, _ACCOUNT, region)).steps
    except SeaproofError as error:
        where = f" ({error.where})" if error.where else ""
        return replace(options, undrafted=f"{error.what}{where}")
    calls = [step.call for step in steps]
    return replace(options, drafted=tuple((c.operation, c.request) for c in calls if c.service == "sagemaker"))


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _pairs(given: tuple[str, ...], option: str) -> dict[str, str]:
    for pair in given:
        if "=" not in pair or pair.startswith("="):
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint=option)
    return dict(pair.partition("=")[::2] for pair in given)


def _list(checks: tuple[Check, ...], as_json: bool) -> None:
    if as_json:
        show_json(
            [
                {"id": c.id, "title": c.title, "family": c.family, "stage": c.stage, "roles": c.roles, "row": c.row}
                for c in checks
            ]
        )
        return
    width = max(len(check.family) for check in checks)
    for check in checks:
        print(f"{check.id}  {check.family.ljust(width)}  {check.stage:<7}  {check.title}")
    print(f"\n{len(checks)} checks. `seaproof check --explain {checks[0].id}` says more about one.")


def _explain(check: Check) -> None:
    from seaproof.check.explanation import explain

    print(explain(check), end="")
