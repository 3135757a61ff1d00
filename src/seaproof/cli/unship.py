"""`seaproof unship`: what was created for a stage, removed; nothing else is touched."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from seaproof.cli.screen import Screen
from seaproof.cli.session import show_json
from seaproof.cli.shipping import OnScreen, target_options, way
from seaproof.errors import SeaproofError
from seaproof.ship import execute


@click.command("unship")
@target_options
@click.option("--dry-run", is_flag=True, help="Say what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(
    folder: Path,
    as_json: bool,
    stage: str,
    target_name: str | None,
    profile: str | None,
    region: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Remove what `seaproof ship` created for a stage, newest first, and only that.

    What was there before stays, and so does what others created. Training jobs stay on record, as AWS has it; their
    models are removed.
    """
    with way(folder, as_json, stage, target_name, profile, region) as found:
        titles = [made.title for made in reversed(found.record.made)]
        if not dry_run and titles and not yes and not as_json:
            _agree(titles, found.target.name)
        if not dry_run:
            with Screen(quiet=as_json) as screen:
                execute.take_back(found.record, found.target, OnScreen(screen))
    if as_json:
        show_json({"removed" if not dry_run else "would_remove": titles})
    elif not titles:
        print("Nothing was created for this stage, or all of it is removed.")
    elif dry_run:
        print("\n".join(f"would take back: {title}" for title in titles))
    else:
        print(f"{len(titles)} things are removed.")


def _agree(titles: list[str], target: str) -> None:
    """Show what would go and ask; SeaproofError where the answer is no, or nobody is there to answer."""
    click.echo("\n".join(f"  {title}" for title in titles), err=True)
    try:
        agreed = click.confirm(f"Take back these {len(titles)} things at {target}?", err=True)
    except click.Abort as error:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)
        raise SeaproofError(
            "nobody answered, so nothing is removed", next_step="--yes removes without asking."
        ) from error
    if not agreed:
        raise SeaproofError("nothing is removed, as you said")
