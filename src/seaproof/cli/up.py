"""`seaproof up`: start the local server; also the process behind every command that brings its own."""

from __future__ import annotations

from pathlib import Path

import click

from seaproof.cli.session import Session, coordinator, driver_option, open_session, project_options, show_json
from seaproof.errors import HttpError, ServiceError


@click.command("up")
@project_options
@driver_option
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.  [default: 9001]")
@click.option("--host", help="Address to listen on; another than loopback asks for signatures.  [default: 127.0.0.1]")
@click.option("--instant", is_flag=True, default=None, help="Run nothing: jobs complete at once, endpoints echo.")
@click.option("--ephemeral", is_flag=True, default=None, help="Start with an empty state, and remove it at the end.")
@click.option("--foreground", is_flag=True, help="Stay in this terminal; Ctrl-C ends it.")
@click.option("--until-idle", is_flag=True, hidden=True, help="End once nothing runs.")
def command(
    folder: Path,
    as_json: bool,
    driver: str | None,
    port: int | None,
    host: str | None,
    instant: bool | None,
    ephemeral: bool | None,
    foreground: bool,
    until_idle: bool,
) -> None:
    """Start the local server of this project and leave it running, until `seaproof down`.

    Endpoints that a `down` put to rest are started again. Where a server lives already, its address is shown.

    \b
      seaproof up --ephemeral        for CI: nothing before it, nothing after it
      seaproof up --instant          to keep books only: no container is run
      seaproof up --host 0.0.0.0     for other machines; they sign with the keys
                                     that `seaproof env` prints
    """
    from seaproof.api.access import is_loopback

    flags = {"port": port, "host": host, "instant": instant, "ephemeral": ephemeral}
    session = open_session(folder, as_json, driver=driver, **flags)
    if foreground:
        from seaproof.api.coordinator import run
        from seaproof.dashboard.pages import page

        run(session.project, session.settings, until_idle=until_idle, say=click.echo, pages=page)
        return
    before = _process(session)
    with coordinator(session, stays=True) as found:
        found.stay()
        health = found.health()
    started = health["pid"] != before
    if as_json:
        show_json({**health, "started": started})
    else:
        print(f"{'The local server runs' if started else 'It runs already'} at {health['url']}")
        print(f"driver {health['driver']}, process {health['pid']}, state in {session.state}")
        print()
        if is_loopback(session.settings.host):
            print(f"What is there, to look at in a browser:     {health['url']}")
        print("Point AWS clients at it, in this shell:     " + 'eval "$(seaproof env)"')
        print("or for one command:                         seaproof run -- python script.py")
        if not is_loopback(session.settings.host):
            print("Clients on other machines sign with the keys that `seaproof env` prints here; all else is refused.")
        print("`seaproof down` ends it.")


def _process(session: Session) -> int:
    """The process of the local server that lives now, which may be just ending; 0 for none."""
    from seaproof.api import client

    found = client.find(session.state)
    if found is None:
        return 0
    try:
        with found:
            return int(found.health()["pid"])
    except (HttpError, ServiceError):
        return 0
