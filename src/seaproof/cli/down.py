"""`seaproof down`: stop the local server and everything that it runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from seaproof.cli.screen import Screen
from seaproof.cli.session import open_session, project_options, show_json
from seaproof.errors import HttpError, SeaproofError

WAIT_SECONDS = 200.0


@click.command("down")
@project_options
def command(folder: Path, as_json: bool) -> None:
    """Stop the local server of this project: jobs end as Stopped, endpoints rest until the next `up`."""
    from seaproof.api import client
    from seaproof.api.coordinator import wait_until_free

    session = open_session(folder, as_json)
    found = client.find(session.state)
    with Screen(quiet=as_json) as screen:
        if found is not None:
            screen.step("stopping what runs: jobs may take two minutes to save their model")
            with suppress(HttpError):  # it was ending by itself, and is waited for all the same
                found.shutdown()
        elif wait_until_free(session.state, 0):
            _answer(as_json, False, "No local server runs for this project.")
            return
        else:
            screen.step("the local server is ending already; waiting for what it runs")
        if not wait_until_free(session.state, WAIT_SECONDS):
            raise SeaproofError(
                f"the local server did not end within {WAIT_SECONDS:.0f} s",
                where=str(session.state / "coordinator.log"),
                next_step="That file has what it said.",
            )
    _answer(as_json, True, "The local server has ended; nothing of this project runs any more.")


def _answer(as_json: bool, stopped: bool, text: str) -> None:
    if as_json:
        show_json({"stopped": stopped})
    else:
        print(text)
