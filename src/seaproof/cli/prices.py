"""`seaproof prices`: which prices `seaproof plan --cost` reckons with, and reading them from AWS."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from seaproof.cli.screen import facts
from seaproof.cli.session import open_session, project_options, show_json
from seaproof.cli.shipping import stage_options
from seaproof.ship import prices, shipment, target


@click.command("prices")
@stage_options
@project_options
@click.option(
    "--refresh", is_flag=True, help="Read the price list of AWS for the region, and keep it for this project."
)
def command(stage: str, profile: str | None, region: str | None, folder: Path, as_json: bool, refresh: bool) -> None:
    """Say which table of prices is used, of which region and date; with --refresh, read it from AWS.

    A table comes with seaproof. Prices change and differ from region to region: --refresh asks the AWS Price List,
    which needs credentials that may call pricing:GetProducts, and costs nothing.

    \b
      seaproof prices
      seaproof prices --refresh --region eu-west-1
    """
    session = open_session(folder, as_json)
    wanted = shipment.read(session.project, stage, profile=profile, region=region)
    if wanted.region:
        target.check_region(wanted.region)
    if refresh:
        account = target.aws(wanted.profile, wanted.region, ask=False)
        table = prices.refresh(account, session.state, account.region)
    else:
        table = prices.load(session.state, wanted.region)
    if as_json:
        show_json(table.as_json())
        return
    counts = ", ".join(f"{len(found)} for {kind}" for kind, found in table.hourly.items())
    facts({"region": table.region, "date": table.date, "source": table.source, "instance types": counts})
    if wanted.region not in ("", table.region):
        print(
            f"note: none of {wanted.region} was read yet; `seaproof prices --refresh --region {wanted.region}` does it",
            file=sys.stderr,
        )
