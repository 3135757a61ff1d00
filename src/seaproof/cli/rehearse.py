"""`seaproof rehearse`: the platform's bad days on a running container, and what clients saw."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seaproof.cli.app import checking
from seaproof.cli.interruption import sigterm_interrupts
from seaproof.cli.screen import Screen
from seaproof.cli.session import driver_option, show_json

if TYPE_CHECKING:
    from seaproof.check.rehearsal import Played


@click.command("rehearse")
@click.argument("target")
@click.option("--payload", type=click.Path(path_type=Path), help="A body that it answers.")
@click.option("--content-type", metavar="TYPE", help="Content-Type of the payload.  [default: by its file name]")
@click.option("--accept", metavar="TYPE", default="", help="Accept of the payload.")
@click.option("--model", type=click.Path(path_type=Path), help="model.tar.gz or folder for /opt/ml/model.")
@click.option("--scenes", metavar="NAMES", default="", help="Only these, with commas.  [default: all]")
@click.option("--patience", type=float, default=60.0, show_default=True, help="Seconds to wait for a start.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@driver_option
def command(target: str, payload: Path | None, scenes: str, as_json: bool, **given: Any) -> None:
    """Play the platform's bad days on TARGET, and say what clients saw.

    TARGET is an image or a folder, as for `seaproof check`. Scenes: ping-flaps, host-replaced, slow-connections,
    cut-connections, throttled, disk-full, half-a-model, stop-grace. While each is played, four clients send the payload
    again and again.

    \b
      seaproof rehearse my-image --payload row.csv --content-type text/csv
      seaproof rehearse . --scenes host-replaced,stop-grace

    Exit codes: 0 as good as it can be, 1 clients lost more than they had to, 2 nothing could be played.
    """
    from seaproof.check.options import Options
    from seaproof.check.project_options import read_payload
    from seaproof.check.rehearsal import BAD, UNPLAYED, rehearse
    from seaproof.settings import Settings

    settings = Settings.load()
    options = Options(
        roles=("realtime",),
        payload=read_payload(payload, given["content_type"] or "", given["accept"]) if payload is not None else None,
        model=given["model"],
        patience=given["patience"],
        invocation_seconds=settings.invocation_timeout,
        stop_seconds=settings.stop_endpoint_grace,
        driver=given["driver"] or settings.driver,
    )
    chosen = tuple(name.strip() for name in scenes.split(",") if name.strip())
    with checking(), sigterm_interrupts(), Screen(quiet=as_json) as screen:
        played = rehearse(target, options, chosen, screen.step)
    if as_json:
        show_json([{**asdict(one), "clients": one.clients()} for one in played])
    else:
        _show(played)
    verdicts = {one.verdict for one in played}
    sys.exit(1 if BAD in verdicts else 2 if verdicts == {UNPLAYED} else 0)


def _show(played: list[Played]) -> None:
    for one in played:
        print(f"{one.verdict:<10}  {one.title}: {one.sentence} ({one.seconds:.1f} s)")
        if one.clients():
            print(f"{'':<10}  clients: {one.clients()}")
        if one.fix:
            print(f"{'':<10}  fix: {one.fix}")
