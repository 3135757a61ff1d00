"""`seaproof doctor`: which drivers work on this machine, and what to do for those that do not."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from seaproof.cli.session import open_session, project_options, show_json


@click.command("doctor")
@project_options
def command(folder: Path, as_json: bool) -> None:
    """Say which drivers work here; for each that does not: why, and what to do.

    Ends with exit code 1 where none works.
    """
    from seaproof.drivers.choice import check_all, open_driver

    session = open_session(folder, as_json)
    found = check_all(session.project, session.state)
    if as_json:
        show_json([asdict(health) for health in found])
    else:
        for health in found:
            print(f"{health.driver:<8}  {'works' if health.works else 'does not work'}")
            if health.reason:
                print(f"          {health.reason}")
            if health.next_step:
                print(f"          Next: {health.next_step}")
            for name, value in health.facts.items():
                print(f"          {name}: {value}")
        if any(health.works for health in found):
            taken = open_driver(session.settings, session.project, session.state).name
            print(f"\nHere, commands use {taken} (setting `driver`: {session.settings.driver}).")
            if taken == "process" and session.settings.driver == "auto" and found[0].works:
                image = session.project.image
                print(
                    f"Docker has no image {image}: the folder stands for it until `docker build -t {image} .` is done."
                )
    if not any(health.works for health in found):
        sys.exit(1)
