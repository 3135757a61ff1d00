"""`seaproof export`: what `seaproof ship` would make, for tools that make it themselves."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import click

from seaproof.cli import requests
from seaproof.cli.session import open_session, project_options
from seaproof.cli.shipping import stage_options
from seaproof.errors import SeaproofError
from seaproof.ship import (
    blank,
    cloudformation,
    drawing,
    endpoint,
    rules,
    secrecy,
    shipment,
    step_functions,
    target,
    terraform,
)
from seaproof.ship.plan import Plan
from seaproof.ship.workflow import workflow

FORMATS = ("cloudformation", "terraform", "step-functions", "workflow")


@click.command("export")
@click.argument("form", metavar="FORMAT", type=click.Choice(FORMATS))
@stage_options
@project_options
@click.option("--account", help="Id of the AWS account, 12 digits.  [default: that of the credentials]")
@click.option("--topic", default="", help="ARN of an SNS topic that a state machine tells how it ended.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write this file.  [default: print it]")
def command(
    form: str,
    stage: str,
    profile: str | None,
    region: str | None,
    folder: Path,
    as_json: bool,
    account: str | None,
    topic: str,
    out: Path | None,
) -> None:
    """Write the whole of a stage, as it would be shipped to an empty account, for another tool.

    \b
    FORMAT is
      cloudformation   bucket, role, repository, model, endpoint, scaling
      terraform        the same, as main.tf
      step-functions   train, model, create or update the endpoint, notify
      workflow         GitHub Actions: plan on pull requests, ship on main

    \b
      seaproof export cloudformation --out template.yaml
      seaproof export terraform --account 123456789012 --region eu-west-1
      seaproof export step-functions --out train.asl.json
      seaproof export workflow --out .github/workflows/ship.yml

    Nothing is called on AWS where --account and a region are given. Variables that are secret, by their name or by
    how they look, are not written: they become parameters. What a tool cannot do (CloudFormation runs no jobs) is
    said in the file.
    """
    session = open_session(folder, as_json)
    requests.check_project(session.project)
    wanted = shipment.read(session.project, stage, profile=profile, region=region)
    if form == "workflow":
        if wanted.region:
            target.check_region(wanted.region)
        text = _yaml(workflow(stage, wanted.region or _region("", account, wanted.profile)[0]))
    else:
        if topic and rules.topic_problem(topic):
            raise click.BadParameter(f"{topic!r}: {rules.topic_problem(topic)}", param_hint="--topic")
        where, id = _region(wanted.region, account, wanted.profile)
        draft = blank.whole(session.project, session.settings, wanted, id, where)
        text = _written(form, drawing.everything(draft), endpoint.deployment(wanted.endpoint), topic)
    if out is None:
        print(text, end="")
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    print(f"{out} is written", file=sys.stderr)


def _written(form: str, plan: Plan, deployment: dict[str, Any], topic: str) -> str:
    if form == "terraform":
        return secrecy.masked(terraform.configuration(plan, deployment))
    if form == "step-functions":
        return json.dumps(secrecy.masked_within(step_functions.definition(plan, deployment, topic)), indent=2) + "\n"
    return _yaml(secrecy.masked_within(cloudformation.template(plan, deployment)))


def _region(region: str, account: str | None, profile: str) -> tuple[str, str]:
    """Region and account: as said, else as the credentials have it."""
    if account and not (account.isdigit() and len(account) == 12):
        raise SeaproofError(f"{account!r} is no id of an AWS account", next_step="It has 12 digits.")
    if region:
        target.check_region(region)
    if region and account:
        return region, account
    try:
        found = target.aws(profile, region)
    except SeaproofError as error:
        raise SeaproofError(
            f"account and region are not known: {error.what}",
            next_step="Say --account and --region, which needs no credentials.",
        ) from error
    return found.region, account or found.account


def _yaml(value: Any) -> str:
    from ruamel.yaml import YAML

    writer, text = YAML(typ="safe", pure=True), io.StringIO()
    writer.default_flow_style = False
    writer.width = 120
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.dump(value, text)
    return text.getvalue()
