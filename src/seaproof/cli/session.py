"""The session of one command: which project, which settings, and the coordinator that it talks to.

There is one coordinator per project folder. A command that needs one takes the one that lives, and starts one where
none does. It *holds* it by a connection that stays open: a coordinator that a command brought along ends once no
command holds it, no job runs and no endpoint serves. So it makes no difference which command came first.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from seaproof.api import client
from seaproof.api.client import Client, Hold
from seaproof.errors import HttpError, SeaproofError, ServiceError
from seaproof.project import Project, find_project
from seaproof.settings import Settings, inherited_environ, state_folder

START_SECONDS = 200.0
POLL_SECONDS = 0.05
_LITTLE_ROOM = 1024 * 1024
"""Bytes. A coordinator needs about a third of that to begin."""

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
def coordinator(session: Session, *, stays: bool = False) -> Iterator[Client]:
    """A client of the coordinator, which does not end before the block does; one started here `stays` if asked to."""
    client, hold = _connect(session, stays)
    with client, hold:
        yield client


def _connect(session: Session, stays: bool) -> tuple[Client, Hold]:
    """Find the coordinator or start one (that `stays` until told to end), and hold it.

    One that is just ending is waited for: its jobs may have two minutes to save their model.
    """
    process: subprocess.Popen[bytes] | None = None
    log = session.state / "coordinator.log"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = client.find(session.state)
        if found is not None:
            try:
                hold = found.hold()
            except (HttpError, ServiceError):
                found.close()  # it is ending; the next one is found in a moment
            else:
                with ExitStack() as given_up:
                    given_up.enter_context(found)
                    given_up.enter_context(hold)
                    _same_driver(session, found)
                    given_up.pop_all()
                return found, hold
        if process is None:
            session.state.mkdir(parents=True, exist_ok=True)
            said = log.stat().st_size if log.exists() else 0
            process = _start(session, log, stays=stays)
        elif found is None and process.poll() is not None and client.find(session.state) is None:
            words = _last_words(log, said, process.returncode)
            if client.OWNED not in words:
                raise SeaproofError(words)
            process = None  # it came too early: the one that kept it away has ended meanwhile
        time.sleep(POLL_SECONDS)
    raise SeaproofError(
        f"the local server did not answer within {START_SECONDS:.0f} s",
        where=str(log),
        next_step="That file has what it said.",
    )


def _start(session: Session, log: Path, *, stays: bool) -> subprocess.Popen[bytes]:
    """Start a coordinator beside this command, in a session of its own: Ctrl-C is for the command alone."""
    options = ["--project", str(session.project.root), "--foreground"]
    for name, value in session.flags.items():
        options += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "seaproof.cli", "up", *options, *([] if stays else ["--until-idle"])],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=session.project.root,
            env=inherited_environ(),
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


def _last_words(log: Path, start: int, code: int) -> str:
    """What a coordinator said that ended at once, from byte `start` of its log on."""
    text = log.read_bytes()[start:].decode("utf-8", "replace")
    said = [line for line in text.splitlines() if line.startswith("seaproof: ")]
    if said:
        return said[-1].removeprefix("seaproof: ")
    free = shutil.disk_usage(log.parent).free
    if not text and free < _LITTLE_ROOM:
        return (
            f"the local server ended with code {code} before it answered, and could not write its log: "
            f"{free // 1024} KB are free on the disk of {log.parent}. Make room there and try again."
        )
    return f"the local server ended with code {code} before it answered. {log} has what it said."
