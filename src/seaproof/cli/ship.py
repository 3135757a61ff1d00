"""`seaproof ship`: what the plan says, done, with a record of what was created."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from seaproof.cli.app import WasInterrupted, WorkloadFailed
from seaproof.cli.screen import Screen, facts
from seaproof.cli.session import show_json
from seaproof.cli.shipping import OnScreen, Way, show_plan, target_options, way
from seaproof.ship import drawing, execute
from seaproof.ship.draft import Draft
from seaproof.ship.plan import Plan
from seaproof.ship.waiting import EndedBadly, Interrupted


@click.command("ship")
@target_options
@click.option("--dry-run", is_flag=True, help="Print the plan and do nothing; the same as `seaproof plan`.")
@click.option(
    "--retry",
    type=click.IntRange(0, 30),
    default=0,
    show_default=True,
    help="How often a step is done again that finds no capacity.",
)
def command(
    folder: Path,
    as_json: bool,
    stage: str,
    target_name: str | None,
    profile: str | None,
    region: str | None,
    dry_run: bool,
    retry: int,
) -> None:
    """Bring the project to AWS: image, data, training job, model, endpoint, until it is in service.

    [ship] of seaproof.toml says where and how; [stage.NAME] changes what differs in a stage. Everything is named after
    what it is made from, so that shipping again changes nothing, and after a change does what it needs. What was
    created is on record: `seaproof unship` removes it and nothing else. --target local does the same on this machine.

    \b
      seaproof ship --dry-run
      seaproof ship --stage prod
    """
    with way(folder, as_json, stage, target_name, profile, region, changes=not dry_run) as found:
        plan = drawing.everything(found.draft)
        if dry_run:
            if as_json:
                show_json(plan.as_json())
            else:
                show_plan(plan)
            return
        with Screen(quiet=as_json) as screen:
            try:
                plan, _ = carry_out(plan, found, OnScreen(screen), retry, drawing.everything)
            except KeyboardInterrupt as left:
                raise _left(left, found.target.is_local) from None
    if as_json:
        show_json(plan.as_json())
        return
    for line in plan.left_out:
        print(f"left out: {line}")
    steps = len(plan.steps)
    facts({"done": f"{steps} step{'s' * (steps != 1)}" if steps else "nothing to do", **plan.names})


def _left(left: KeyboardInterrupt, is_local: bool) -> WasInterrupted:
    """What to say after Ctrl-C: what runs on, how to go on with it, and how to stop it."""
    on = "`seaproof ship` goes on from here"
    if not isinstance(left, Interrupted):
        return WasInterrupted(
            "interrupted in the middle of a step", next_step=f"{on}, `seaproof unship` removes what was created."
        )
    stop = f"`aws sagemaker stop-training-job --training-job-name {left.name}` stops it"
    if left.kind != "training job":
        stop = "`seaproof unship` removes it"
    elif is_local:
        stop = f"`seaproof jobs stop {left.name}` stops it"
    return WasInterrupted(f"interrupted; {left.kind} {left.name} runs on", next_step=f"{on}; {stop}.")


def carry_out(
    plan: Plan, found: Way, watcher: OnScreen, retry: int, draw: Callable[[Draft], Plan]
) -> tuple[Plan, dict[str, Any]]:
    """Execute a plan, drawn anew where there was no capacity: what was done, and what was waited for, by kind.

    WorkloadFailed where the user's own container is what failed.
    """
    try:
        command = f"seaproof {click.get_current_context().info_name}"
        how = (found.target, found.record, watcher)
        return execute.until_there_is_capacity(
            plan, lambda: draw(found.drawn_anew()), *how, retries=retry, command=command
        )
    except execute.StepFailed as error:
        if isinstance(error.__cause__, EndedBadly):
            raise WorkloadFailed(error.what, where=error.where, next_step=error.next_step) from error
        raise
