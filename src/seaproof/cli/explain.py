"""`seaproof explain`: what a training config will do, in words, before anything runs."""

from __future__ import annotations

import shlex
import textwrap
from pathlib import Path

import click

from seaproof.cli import requests
from seaproof.cli.by_config import checked_config
from seaproof.cli.session import open_session, project_options, show_json
from seaproof.errors import ProjectError
from seaproof.training_file.explain import explain

_HEADING = 18
_WIDTH = 100


@click.command("explain")
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@project_options
@click.option("--channel", "-c", "channels", multiple=True, metavar="NAME=PATH", help="A folder, a file or s3://.")
def command(config: Path | None, folder: Path, as_json: bool, channels: tuple[str, ...]) -> None:
    """Say in words what `seaproof train CONFIG` will do.

    CONFIG is YAML or JSON (default: the [training] table of seaproof.toml). It is checked as `seaproof train` checks
    it, its data is looked at, and nothing runs.

    \b
      seaproof explain config.yaml
    """
    session = open_session(folder, as_json)
    given = requests.parse_pairs(channels, "--channel NAME=PATH")
    checked = checked_config(session, config, given)
    if checked is None:
        raise ProjectError(
            "there is no training config",
            where=str(session.project.file or session.project.root),
            next_step="Name its file, or write `target` and `data` below [training] in seaproof.toml.",
        )
    told = explain(checked.config, checked.found, checked.task)
    if as_json:
        show_json(told)
        return
    for heading, words in told.items():
        lines = [line for part in words.splitlines() for line in textwrap.wrap(part, _WIDTH - _HEADING)]
        for number, line in enumerate(lines):
            print(f"{heading if number == 0 else '':{_HEADING}}{line}")
    again = [str(config)] if config else []
    for channel in channels:
        again += ["--channel", channel]
    print(f"\nRun it: seaproof train {shlex.join(again)}".rstrip())
