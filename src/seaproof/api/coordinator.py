"""The coordinator: the one process of a project that owns its state while something runs.

It takes the lock of the state folder, recovers what an earlier coordinator left (however that one ended), and only
then opens its port. It ends on SIGTERM, SIGINT, `seaproof down`, the end of standard input (where a command brought
it), or once nothing is left to run.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from seaproof.api.app import Application
from seaproof.api.client import STATE_FILE
from seaproof.control.plane import Plane
from seaproof.control.recovery import park, recover
from seaproof.control.store import Store
from seaproof.drivers.choice import open_driver
from seaproof.errors import SeaproofError
from seaproof.http.server import ServerLimits, serve
from seaproof.invocations.send import Sender
from seaproof.project import Project
from seaproof.settings import Settings, state_folder
from seaproof.storage.local import LocalStorage

LOCK_FILE = "coordinator.lock"
IDLE_SECONDS = 5.0
DRAIN_SECONDS = 5.0
JOIN_SECONDS = 10.0


def run(
    project: Project,
    settings: Settings,
    *,
    attached: bool = False,
    until_idle: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Be the coordinator of this project until something ends it; `say` is told once where it answers.

    `attached` ends with standard input, `until_idle` once no job and no endpoint is left. SeaproofError where
    another coordinator lives, the driver does not work, or the port is taken (one that brings its own server takes
    a free port instead).
    """
    folder = state_folder(settings, project.root)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _lock(folder), _plane(project, settings, folder) as plane:
        listener = _bind(settings, any_port=attached or until_idle)
        try:
            recover(plane)
            _run_loop(_serve(plane, listener, attached=attached, until_idle=until_idle, say=say))
        finally:
            (folder / STATE_FILE).unlink(missing_ok=True)
            park(plane)
            plane.join(JOIN_SECONDS)


async def _serve(
    plane: Plane, listener: socket.socket, *, attached: bool, until_idle: bool, say: Callable[[str], None]
) -> None:
    """Answer requests until told to end."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    host, port = plane.settings.host, listener.getsockname()[1]
    app = Application(plane, f"http://{f'[{host}]' if ':' in host else host}:{port}", ended.set)
    limits = ServerLimits(body_bytes=2 * plane.settings.profile.request_body.value)
    server = await serve(app.handle, sock=listener, limits=limits)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if attached:
        _watch_stdin(loop, ended)
    watch = loop.create_task(_end_when_idle(plane, app, ended)) if until_idle else None
    _announce(plane.folder, app.url)
    say(f"local server at {app.url}, driver {plane.driver.name}, process {os.getpid()}")
    await ended.wait()
    if watch:
        watch.cancel()
    # From here on a new command starts a coordinator of its own; it waits for the lock.
    (plane.folder / STATE_FILE).unlink(missing_ok=True)
    await server.close(DRAIN_SECONDS)
    await app.close()


async def _end_when_idle(plane: Plane, app: Application, ended: asyncio.Event) -> None:
    """Set `ended` once nothing has run, and nobody has asked for anything, for a while."""
    idle_since = time.monotonic()
    while True:
        await asyncio.sleep(0.5)
        if await asyncio.to_thread(_is_busy, plane):
            idle_since = time.monotonic()
        if time.monotonic() - max(idle_since, app.last_request) > IDLE_SECONDS:
            ended.set()
            return


def _is_busy(plane: Plane) -> bool:
    jobs = plane.store.records("training-job")
    return any(job.status in ("InProgress", "Stopping") for job in jobs) or bool(plane.store.records("endpoint"))


@contextmanager
def _plane(project: Project, settings: Settings, folder: Path) -> Iterator[Plane]:
    store, sender, storage = Store(folder / "seaproof.db"), Sender(), LocalStorage(folder / "s3")
    storage.sweep()
    try:
        yield Plane(
            folder=folder,
            settings=settings,
            store=store,
            storage=storage,
            driver=open_driver(settings, project, folder),
            sender=sender,
        )
    finally:
        sender.close()
        store.close()


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the state folder. The lock is the kernel's: it goes with the process, also after SIGKILL."""
    with (folder / LOCK_FILE).open("a+") as file:
        deadline = time.monotonic() + 1.0
        while not _try_lock(file):
            if time.monotonic() > deadline:
                raise SeaproofError(
                    "another coordinator owns this project" + _who(folder),
                    where=str(folder),
                    next_step="Commands use that one; `seaproof down` ends it.",
                )
            time.sleep(0.05)
        yield


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _who(folder: Path) -> str:
    with contextlib.suppress(OSError, ValueError, KeyError):
        found = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        return f": process {found['pid']} at {found['url']}"
    return ", which is starting or ending"


def _bind(settings: Settings, *, any_port: bool) -> socket.socket:
    """A socket on the port of the settings; a free one where that is taken and any will do.

    It does not listen yet: nobody is to get through before all that ran has been found again.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    for port in (settings.port, 0) if any_port else (settings.port,):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, port))
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRINUSE and any_port and port:
                continue
            raise SeaproofError(
                f"the local server cannot listen: {error.strerror}",
                where=f"{settings.host}:{port}",
                next_step="Say --port 0 for a free one, or end what listens there.",
            ) from error
        return listener
    raise SeaproofError("no port is free", where=settings.host)


def _announce(folder: Path, url: str) -> None:
    """Write, whole and readable by the owner only, where this coordinator is."""
    part = folder / f"{STATE_FILE}.part"
    part.touch(mode=0o600)
    part.write_text(json.dumps({"url": url, "pid": os.getpid(), "started": time.time()}), encoding="utf-8")
    part.replace(folder / STATE_FILE)


def _watch_stdin(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    """Set `ended` when standard input ends: the command that brought this coordinator is gone."""

    def read() -> None:
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, name="stdin", daemon=True).start()


def _run_loop(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # there is none on Windows
        asyncio.run(main)
        return
    uvloop.run(main)
