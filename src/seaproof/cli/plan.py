"""`seaproof plan`: what `seaproof ship` would do, as a list, and nothing is done."""

from __future__ import annotations

from pathlib import Path

import click

from seaproof.cli.session import show_json
from seaproof.cli.shipping import show_plan, target_options, way
from seaproof.ship import blank, cost, drawing, prices


@click.command("plan")
@target_options
@click.option("--cost", "with_cost", is_flag=True, help="Say what it costs, too: by the hour, the job, the month.")
def command(
    folder: Path,
    as_json: bool,
    stage: str,
    target_name: str | None,
    profile: str | None,
    region: str | None,
    with_cost: bool,
) -> None:
    """Say which calls `seaproof ship` would make; make none that changes anything.

    It reads seaproof.toml, looks at what is there, and lists what is missing: repository, image, role, bucket, data,
    training job, model, endpoint config, endpoint. --json gives every request as it would be sent.

    \b
      seaproof plan --stage prod
      seaproof plan --target local
      seaproof plan --cost

    --cost reckons with all that the stage has, whether it is there already or not, by a table of prices that has a date
    (`seaproof prices`).
    """
    costs: cost.Cost | None = None
    with way(folder, as_json, stage, target_name, profile, region) as found:
        plan = drawing.everything(found.draft)
        if with_cost:
            draft = blank.whole(found.draft.project, found.session.settings, found.shipment, plan.account, plan.region)
            costs = cost.estimate(drawing.everything(draft), prices.load(found.session.state, plan.region))
    if as_json:
        show_json(plan.as_json() | ({"cost": costs.as_json()} if costs else {}))
        return
    show_plan(plan)
    if costs:
        _show_cost(costs)


def _show_cost(costs: cost.Cost) -> None:
    table = costs.prices
    print(f"\nCosts in USD, on demand, by prices of {table.region} as of {table.date}")
    rows = [(_amount(item), item) for item in costs.items]
    width = max((len(amount) for amount, _ in rows), default=0)
    for amount, item in rows:
        note = f"  ({item.note})" if item.note else ""
        print(f"   {amount:>{width}}  {item.what}{note}")
    low, high = costs.monthly
    shown = f"{low:,.2f}" if round(low, 2) == round(high, 2) else f"{low:,.2f} to {high:,.2f}"
    more = ", and what the table has no price of" if costs.unknown else ""
    print(f"   =  {shown} a month for what stands{more}; jobs and requests come on top")
    for line in costs.left_out:
        print(f"   -  left out: {line}")
    if table.region != costs.region:
        print(
            f"note: these are no prices of {costs.region}; "
            f"`seaproof prices --refresh --region {costs.region}` reads them from AWS"
        )


def _amount(item: cost.Item) -> str:
    if item.low is None or item.high is None:
        return f"unknown, each {item.per}"
    if item.low == item.high:
        return f"{item.high:,.2f} each {item.per}"
    low = f"{item.low:,.2f}" if item.low else "0"
    return f"{low} to {item.high:,.2f} each {item.per}"
