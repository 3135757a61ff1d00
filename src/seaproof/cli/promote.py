"""`seaproof promote`: traffic shifted to a variant of an endpoint."""

from __future__ import annotations

from pathlib import Path

import click

from seaproof.cli.screen import Screen, table
from seaproof.cli.session import show_json
from seaproof.cli.shipping import OnScreen, target_options, way
from seaproof.ship import drawing, traffic


@click.command("promote")
@click.argument("variant")
@target_options
@click.option("--percent", default=100.0, type=click.FloatRange(0, 100), show_default=True, help="Its share.")
@click.option("--endpoint", help="Name of the endpoint.  [default: the stage's]")
def command(
    variant: str,
    folder: Path,
    as_json: bool,
    stage: str,
    target_name: str | None,
    profile: str | None,
    region: str | None,
    percent: float,
    endpoint: str | None,
) -> None:
    """Give a variant of an endpoint a share of the traffic; the others keep their proportions in what is left.

    \b
      seaproof promote candidate --percent 10
      seaproof promote candidate
    """
    named = endpoint is not None
    with (
        way(folder, as_json, stage, target_name, profile, region, anywhere=named) as found,
        Screen(quiet=as_json) as screen,
    ):
        name = endpoint or drawing.endpoint_name(found.draft)
        step = traffic.shifted(found.target, name, variant, percent)
        described = traffic.do(step, found.target, OnScreen(screen))
    if as_json:
        show_json(described)
        return
    rows = [
        (v["VariantName"], v.get("CurrentWeight"), v.get("CurrentInstanceCount"))
        for v in described["ProductionVariants"]
    ]
    table(rows, ("VARIANT", "WEIGHT", "INSTANCES"))
