"""The session of one command: which project, which settings, and the coordinator that it talks to.

There is one coordinator per project folder. A command that needs one takes the one that lives; where none lives,
it starts one: for as long as the command runs (the default), or to stay (`--detach`, `up`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from seaproof.api import client
from seaproof.api.client import Client
from seaproof.errors import SeaproofError
from seaproof.project import Project, find_project
from seaproof.settings import Settings, inherited_environ, state_folder

START_SECONDS = 60.0
POLL_SECONDS = 0.05

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Session:
    """What the options that every command has come down to."""

    project: Project
    settings: Settings
    json: bool
    flags: dict[str, Any]

    @property
    def state(self) -> Path:
        """The folder of the state."""
        return state_folder(self.settings, self.project.root)


def project_options(command: Command) -> Command:
    """The options that every command has: --project, --json."""
    command = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)
    return click.option(
        "--project",
        "folder",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        default=Path(),
        help="Folder of the project.  [default: this one, or the nearest above with a seaproof.toml]",
    )(command)


def driver_option(command: Command) -> Command:
    """The --driver option, for commands that may start a coordinator."""
    return click.option(
        "--driver",
        type=click.Choice(["auto", "docker", "process"]),
        help="Where containers run.  [default: docker where an engine answers, else process]",
    )(command)


def open_session(folder: Path, as_json: bool, **flags: Any) -> Session:
    """Find the project and its settings; `flags` are settings given on the command line (None: not given)."""
    project = find_project(folder)
    settings = Settings.load(flags=flags, file=project.settings)
    return Session(project, settings, as_json, {name: v for name, v in flags.items() if v is not None})


def living(session: Session) -> Client:
    """The coordinator that lives; SeaproofError where none does."""
    found = client.find(session.state)
    if found is None:
        raise SeaproofError(
            "no local server runs for this project",
            where=str(session.project.root),
            next_step="`seaproof up` starts one; `seaproof serve` and `seaproof train` bring their own.",
        )
    _same_driver(session, found)
    return found


@contextmanager
def coordinator(session: Session, *, stay: bool) -> Iterator[Client]:
    """A client of the coordinator. One that had to be started ends with the block, unless it is to `stay`."""
    found = client.find(session.state)
    if found is not None:
        _same_driver(session, found)
        yield found
        return
    process = start_coordinator(session, attached=not stay)
    try:
        yield wait_for_coordinator(session, process)
    finally:
        if not stay:
            _end(process)


def start_coordinator(session: Session, *, attached: bool, idle_exit: bool = True) -> subprocess.Popen[bytes]:
    """Start a coordinator beside this command.

    An attached one ends when this command does, however that ends: it watches its standard input. A detached one
    ends by `down`, or, with `idle_exit`, once nothing is left to run.
    """
    session.state.mkdir(parents=True, exist_ok=True)
    options = ["--project", str(session.project.root), "--foreground"]
    for name, value in session.flags.items():
        options += [f"--{name.replace('_', '-')}", str(value)]
    if attached:
        options.append("--attached")
    elif idle_exit:
        options.append("--until-idle")
    log = session.state / "coordinator.log"
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "seaproof.cli", "up", *options],
            stdin=subprocess.PIPE if attached else subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=session.project.root,
            env=inherited_environ(),
        )


def wait_for_coordinator(session: Session, process: subprocess.Popen[bytes]) -> Client:
    """Wait until the coordinator just started answers; SeaproofError with what it said where it ends instead."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll()
        found = client.find(session.state)
        if found is not None:
            return found
        if ended is not None:
            raise SeaproofError(_last_words(session.state / "coordinator.log"))
        time.sleep(POLL_SECONDS)
    _end(process)
    raise SeaproofError(
        f"the local server did not answer within {START_SECONDS:.0f} s",
        where=str(session.state / "coordinator.log"),
        next_step="That file has what it said.",
    )


def show_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, indent=2, default=str))


def _same_driver(session: Session, found: Client) -> None:
    """A command that names a driver must not silently get another."""
    wanted = session.flags.get("driver")
    if wanted in (None, "auto"):
        return
    runs = found.health()["driver"]
    if runs != wanted:
        raise SeaproofError(
            f"the local server of this project runs containers with the {runs} driver, not {wanted}",
            next_step="`seaproof down` ends it; the next command starts one with the driver asked for.",
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End an attached coordinator: close its standard input and wait while it stops what it runs."""
    if process.stdin:
        process.stdin.close()
    else:
        process.terminate()
    try:
        process.wait(timeout=180)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = next((line for line in reversed(lines) if line.strip()), "it said nothing")
    return said.removeprefix("seaproof: ")
