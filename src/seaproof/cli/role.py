"""`seaproof role`: the least that must be allowed, as documents, and the role itself on request."""

from __future__ import annotations

import json
from pathlib import Path

import click

from seaproof.cli.screen import Screen
from seaproof.cli.shipping import OnScreen, target_options, way
from seaproof.ship import execute, role


@click.command("role")
@target_options
@click.option(
    "--policy",
    "which",
    type=click.Choice(["execution", "trust", "shipping"]),
    help="One document alone: what SageMaker may do, who may take the role on, or what whoever ships needs.",
)
@click.option("--create", is_flag=True, help="Create the role, or bring it up to date.")
def command(
    folder: Path,
    as_json: bool,
    stage: str,
    target_name: str | None,
    profile: str | None,
    region: str | None,
    which: str | None,
    create: bool,
) -> None:
    """Write the policy and the trust document of the role for exactly what the plan does; with --create, make it.

    \b
      seaproof role --policy execution > policy.json
      seaproof role --create
    """
    with way(folder, as_json, stage, target_name, profile, region) as found:
        draft = found.draft
        documents = {"trust": role.trust(draft), "execution": role.policy(draft), "shipping": role.shipping(draft)}
        if create:
            role.add(draft)
            with Screen(quiet=as_json) as screen:
                execute.execute(draft.finished(), found.target, found.record, OnScreen(screen))
            documents = {"role": {"Arn": draft.place.role}, **documents}
    print(json.dumps(documents[which] if which else documents, indent=2))
