"""`seaproof rollback`: an endpoint given back to what it served before."""

from __future__ import annotations

from pathlib import Path

import click

from seaproof.cli.screen import Screen, facts
from seaproof.cli.session import show_json
from seaproof.cli.shipping import OnScreen, target_options, way
from seaproof.ship import drawing, traffic


@click.command("rollback")
@target_options
@click.option("--endpoint", help="Name of the endpoint.  [default: the stage's]")
@click.option("--to", "config", default="", help="An endpoint config.  [default: the one before]")
def command(
    folder: Path,
    as_json: bool,
    stage: str,
    target_name: str | None,
    profile: str | None,
    region: str | None,
    endpoint: str | None,
    config: str,
) -> None:
    """Give an endpoint back to what it served before the last `seaproof ship`, without losing a request.

    `seaproof ship` then brings back what seaproof.toml says.
    """
    with (
        way(folder, as_json, stage, target_name, profile, region, changes=True) as found,
        Screen(quiet=as_json) as screen,
    ):
        name = endpoint or drawing.endpoint_name(found.draft)
        step = traffic.returned(found.target, name, found.record, config, found.shipment.endpoint)
        described = traffic.do(step, found.target, OnScreen(screen))
    if as_json:
        show_json(described)
    else:
        facts({"endpoint": name, "status": described["EndpointStatus"], "config": described["EndpointConfigName"]})
