"""`seaproof push`: the image in its registry, built before where it is not yet."""

from __future__ import annotations

from pathlib import Path

import click

from seaproof.cli.screen import Screen, facts
from seaproof.cli.session import show_json
from seaproof.cli.ship import carry_out
from seaproof.cli.shipping import OnScreen, show_plan, target_options, way
from seaproof.ship import drawing


@click.command("push")
@target_options
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
def command(
    folder: Path,
    as_json: bool,
    stage: str,
    target_name: str | None,
    profile: str | None,
    region: str | None,
    dry_run: bool,
) -> None:
    """Push the image to the account's ECR: repository, build, login, push, and a look at what arrived.

    A repository that is not there is created, with scan on push, immutable tags and a lifecycle rule as [ship.image]
    says. What the registry then holds is held to what CreateModel takes: one manifest, for the instances' architecture.
    Without credentials it fails, and says so.
    """
    with way(folder, as_json, stage, target_name or "aws", profile, region) as found:
        plan = drawing.image_alone(found.draft)
        if not dry_run:
            with Screen(quiet=as_json) as screen:
                carry_out(plan, found, OnScreen(screen), 0, drawing.image_alone)
    if as_json:
        show_json(plan.as_json())
    elif dry_run:
        show_plan(plan)
    else:
        facts({"image": plan.names["image"], "done": "pushed" if plan.steps else "it is there already"})
