"""`seaproof unship`: what was created for a stage, removed; nothing else is touched."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from seaproof.cli.screen import Screen
from seaproof.cli.session import show_json
from seaproof.cli.shipping import OnScreen, target_options, way
from seaproof.errors import SeaproofError
from seaproof.ship import taking_back


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
    with way(folder, as_json, stage, target_name, profile, region, changes=not dry_run) as found:
        titles = [taking_back.removal(made.title) for made in reversed(found.record.made)]
        if dry_run or not titles:
            _nothing_done(titles, as_json, dry_run)
            return
        if not yes and not as_json:
            _agree(titles, found.target.name)
        with Screen(quiet=as_json) as screen:
            outcome = taking_back.take_back(found.record, found.target, OnScreen(screen))
    if as_json:
        show_json({"removed": outcome.removed, "stays": outcome.stays})
        return
    count = len(outcome.removed)
    print(f"{count} thing{' is' if count == 1 else 's are'} removed.")
    for line in outcome.stays:
        print(f"stays: {line}")


def _nothing_done(titles: list[str], as_json: bool, dry_run: bool) -> None:
    if as_json:
        show_json({"would_remove" if dry_run else "removed": titles})
    else:
        print("\n".join(titles) or "Nothing was created for this stage, or all of it is removed.")


def _agree(titles: list[str], target: str) -> None:
    """Show what would go and ask; SeaproofError where the answer is no, or nobody is there to answer."""
    click.echo("\n".join(f"  {title}" for title in titles), err=True)
    try:
        agreed = click.confirm(f"Do all of this at {target}?", err=True)
    except click.Abort as error:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)
        raise SeaproofError(
            "nobody answered, so nothing is removed", next_step="--yes removes without asking."
        ) from error
    if not agreed:
        raise SeaproofError("nothing is removed, as you said")
