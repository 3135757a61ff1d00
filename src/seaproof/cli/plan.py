"""`seaproof plan`: what `seaproof ship` would do, as a list, and nothing is done."""

from __future__ import annotations

from pathlib import Path

import click

from seaproof.cli.session import show_json
from seaproof.cli.shipping import show_plan, target_options, way
from seaproof.ship import drawing


@click.command("plan")
@target_options
def command(
    folder: Path, as_json: bool, stage: str, target_name: str | None, profile: str | None, region: str | None
) -> None:
    """Say which calls `seaproof ship` would make; make none that changes anything.

    It reads seaproof.toml, looks at what is there, and lists what is missing: repository, image, role, bucket, data,
    training job, model, endpoint config, endpoint. --json gives every request as it would be sent.

    \b
      seaproof plan --stage prod
      seaproof plan --target local
    """
    with way(folder, as_json, stage, target_name, profile, region) as found:
        plan = drawing.everything(found.draft)
    if as_json:
        show_json(plan.as_json())
    else:
        show_plan(plan)
