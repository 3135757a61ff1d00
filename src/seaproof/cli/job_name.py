"""The name of a job that a command is about to begin. What is copied for the job lies below its name: of two commands
that took the same one, each would change the other's input."""

from __future__ import annotations

import fcntl
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from seaproof.api.client import Client
from seaproof.cli.session import Session
from seaproof.errors import SeaproofError, ServiceError

LOCK_FILE = "job-names.lock"


@contextmanager
def taken(session: Session, client: Client, noun: str, name: str, go_on: str = "") -> Iterator[None]:
    """Have the name of a job (`Training`, `Transform`) until the job is asked for.

    SeaproofError where there is such a job, or another command of the project is about to begin one; `go_on` is what
    can be said instead where the job is there.
    """
    called = f"{noun.lower()} job {name}"
    with (session.state / LOCK_FILE).open("a+b") as file:
        try:
            # A byte for each name: nothing has to be cleared away afterwards, whoever is killed.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, zlib.crc32(called.encode()))
        except OSError as error:
            raise SeaproofError(
                f"another command begins a {called} just now", next_step="Take another --name."
            ) from error
        if _is_there(client, noun, name):
            raise SeaproofError(f"there is a {called} already", next_step=f"Take another --name{go_on}.")
        yield


def _is_there(client: Client, noun: str, name: str) -> bool:
    try:
        client.call(f"Describe{noun}Job", {f"{noun}JobName": name})
    except ServiceError:
        return False
    return True
