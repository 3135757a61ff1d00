"""`seaproof down`: stop the local server and everything that it runs."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import click

from seaproof.api.client import Client
from seaproof.cli.screen import Screen
from seaproof.cli.session import open_session, project_options, show_json
from seaproof.errors import HttpError, SeaproofError, ServiceError

WAIT_SECONDS = 200.0
LOOK_SECONDS = 0.5


@click.command("down")
@project_options
def command(folder: Path, as_json: bool) -> None:
    """Stop the local server of this project: jobs end as Stopped, endpoints rest until the next `up`."""
    from seaproof.api import client
    from seaproof.api.coordinator import wait_until_free

    session = open_session(folder, as_json)
    found, told = client.find(session.state), 0
    with Screen(quiet=as_json) as screen:
        if found is not None:
            told = _tell(found, screen)
        elif wait_until_free(session.state, 0):
            _answer(as_json, False, "No local server runs for this project.")
            return
        else:
            screen.step("the local server is starting or ending just now; waiting for it and what it runs")
        deadline = time.monotonic() + WAIT_SECONDS
        while not wait_until_free(session.state, LOOK_SECONDS):
            if time.monotonic() > deadline:
                raise SeaproofError(
                    f"the local server did not end within {WAIT_SECONDS:.0f} s",
                    where=str(session.state / "coordinator.log"),
                    next_step="That file has what it said.",
                )
            found = client.find(session.state)
            if found is not None and not told:  # it was starting, and is there now
                told = _tell(found, screen)
            elif found is not None and _process(found) not in (0, told):
                break  # the next one, for a command that was said since
    _answer(as_json, True, "The local server has ended; nothing of this project runs any more.")


def _tell(found: Client, screen: Screen) -> int:
    """Have it end: its process; 0 where it was just ending by itself, and is waited for all the same."""
    screen.step("stopping what runs: jobs may take two minutes to save their model")
    process = _process(found)
    with found, suppress(HttpError, ServiceError):
        found.shutdown()
    return process


def _process(found: Client) -> int:
    try:
        with found:
            return int(found.health()["pid"])
    except (HttpError, ServiceError):
        return 0


def _answer(as_json: bool, stopped: bool, text: str) -> None:
    if as_json:
        show_json({"stopped": stopped})
    else:
        print(text)
