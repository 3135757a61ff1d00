"""`seaproof down`: stop the local server and everything that it runs."""

from __future__ import annotations

import time
from pathlib import Path

import click

from seaproof.cli.session import open_session, project_options, show_json
from seaproof.errors import SeaproofError

WAIT_SECONDS = 180.0


@click.command("down")
@project_options
def command(folder: Path, as_json: bool) -> None:
    """Stop the local server of this project: jobs end as Stopped, endpoints rest until the next `up`."""
    from seaproof.api import client

    session = open_session(folder, as_json)
    found = client.find(session.state)
    if found is None:
        _answer(as_json, False, "No local server runs for this project.")
        return
    found.shutdown()
    deadline = time.monotonic() + WAIT_SECONDS
    while client.find(session.state) is not None:
        if time.monotonic() > deadline:
            raise SeaproofError(
                f"the local server did not end within {WAIT_SECONDS:.0f} s",
                where=str(session.state / "coordinator.log"),
                next_step="That file has what it said.",
            )
        time.sleep(0.05)
    _answer(as_json, True, "The local server has ended; nothing of this project runs any more.")


def _answer(as_json: bool, stopped: bool, text: str) -> None:
    if as_json:
        show_json({"stopped": stopped})
    else:
        print(text)
