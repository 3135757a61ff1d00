"""The coordinator: the one process of a project that owns its state while something runs.

It takes the lock of the state folder, recovers what an earlier coordinator left (however that one ended), and only
then opens its port. It ends on SIGTERM, SIGINT or `seaproof down`; one that a command brought along also ends by
itself, once no command holds it and nothing is left to run.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gc
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from seaproof.api.app import Application, Pages
from seaproof.api.client import OWNED, STATE_FILE, Client, find
from seaproof.control.plane import Plane
from seaproof.control.recovery import park, recover
from seaproof.control.store import Store
from seaproof.drivers.choice import open_driver
from seaproof.errors import HttpError, SeaproofError, ServiceError
from seaproof.http.server import Server, ServerLimits, serve
from seaproof.invocations.send import Sender
from seaproof.project import Project
from seaproof.settings import Settings, state_folder
from seaproof.storage.local import LocalStorage
from seaproof.storage.storage import Storage

LOCK_FILE = "coordinator.lock"
EPHEMERAL_FILE = "ephemeral"
"""Marks a state that may be removed."""
START_SECONDS = 20.0
"""How long a coordinator that a command brought waits for that command to hold it."""
_JOBS = ("training-job", "processing-job", "transform-job")
IDLE_SECONDS = 0.3
GONE_SECONDS = 1.0
"""How often a coordinator looks whether its state is still there."""
LOCK_SECONDS = 180.0
"""How long a new coordinator waits for one that is ending: jobs get two minutes to save their model."""
DRAIN_SECONDS = 5.0
OBJECT_BYTES = 5 * 1024**3
"""The most that S3 takes in one request."""
JOIN_SECONDS = 10.0
OWNER_SECONDS = 1.0
"""How long whoever has our port is asked who it is."""
GARBAGE = 20_000
"""Objects made and not yet freed before cycles are looked for."""


def run(
    project: Project,
    settings: Settings,
    *,
    until_idle: bool = False,
    say: Callable[[str], None] = lambda line: None,
    pages: Pages | None = None,
) -> None:
    """Be the coordinator of this project until something ends it; `say` is told once where it answers, `pages` is
    what it shows to browsers.

    `until_idle`: end once no command holds it, no job runs and no endpoint serves; endpoints that were put to rest
    stay so, and another port is taken where that of the settings is not free. SeaproofError where another
    coordinator lives, the driver does not work, or the port is taken.
    """
    folder = state_folder(settings, project.root)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(PermissionError):
        folder.chmod(0o700)  # one that was made by hand, or by another tool, is as private
    with _lock(folder), _ephemeral(settings, folder), _plane(project, settings, folder) as plane:
        listener = _bind(settings, any_port=until_idle)
        try:
            recover(plane, resume=not until_idle)
            _run_loop(_serve(plane, listener, until_idle=until_idle, say=say, pages=pages))
        finally:
            (folder / STATE_FILE).unlink(missing_ok=True)
            park(plane)
            plane.join(JOIN_SECONDS)


async def _serve(
    plane: Plane, listener: socket.socket, *, until_idle: bool, say: Callable[[str], None], pages: Pages | None
) -> None:
    """Answer requests until told to end."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    url = _url(plane.settings.host, listener.getsockname()[1])
    app = Application(plane, url, ended.set, pages)
    server = await listen(app, plane.settings, listener)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.end)
    app.stays = not until_idle
    _announce(plane.folder, app.url, app.guard.token if app.guard else "")
    watches = [loop.create_task(_end_when_idle(plane, app)), loop.create_task(_end_when_gone(plane.folder, app, say))]
    # What is loaded by now stays; an invocation makes no cycles, so that looking for them finds nothing.
    gc.freeze()
    gc.set_threshold(GARBAGE)
    say(f"local server at {app.url}, driver {plane.driver.name}, process {os.getpid()}")
    await ended.wait()
    for watch in watches:
        watch.cancel()
    # From here on a new command starts a coordinator of its own; it waits for the lock.
    (plane.folder / STATE_FILE).unlink(missing_ok=True)
    await server.close(DRAIN_SECONDS)
    await app.close()


async def listen(app: Application, settings: Settings, listener: socket.socket | None = None) -> Server:
    """Answer what comes to this socket; without one, to a free port of this machine."""
    limits = ServerLimits(body_bytes=2 * settings.profile.request_body.value, streamed_bytes=OBJECT_BYTES)
    return await serve(app.handle, sock=listener, limits=limits, stream_bodies=app.takes_stream)


async def _end_when_idle(plane: Plane, app: Application) -> None:
    """End the coordinator once nothing runs and nobody holds this coordinator, unless it has been told to stay."""
    started = idle_since = time.monotonic()
    while True:
        await asyncio.sleep(0.1)
        now = time.monotonic()
        waits = not app.was_held and now - started < START_SECONDS
        busy = app.stays or waits or await asyncio.to_thread(_is_busy, plane)
        if busy or app.stays or app.holds:  # asked last: a command may have come while the records were read
            idle_since = now
        elif now - idle_since > IDLE_SECONDS:
            app.end()
            return


async def _end_when_gone(folder: Path, app: Application, say: Callable[[str], None]) -> None:
    """End the coordinator once its state folder was removed: no command could find it there, to end it or to use it."""
    while (folder / STATE_FILE).exists():
        await asyncio.sleep(GONE_SECONDS)
    say(f"{folder / STATE_FILE} was removed, so that no command finds this server: it ends")
    app.end()


def _is_busy(plane: Plane) -> bool:
    """Whether a job runs or an endpoint serves, or either is about to."""
    jobs = [job for kind in _JOBS for job in plane.store.records(kind)]
    endpoints = plane.store.records("endpoint")
    return any(job.status in ("InProgress", "Stopping") for job in jobs) or any(
        endpoint.status not in ("Failed", "OutOfService") for endpoint in endpoints
    )


def open_storage(settings: Settings, folder: Path) -> Storage:
    """Where the objects lie: files below the state folder, or the S3 that the settings name."""
    if settings.s3:
        from seaproof.storage.s3 import S3Storage

        return S3Storage(settings.s3, settings.region)
    storage = LocalStorage(folder / "s3")
    storage.sweep()
    return storage


@contextmanager
def _plane(project: Project, settings: Settings, folder: Path) -> Iterator[Plane]:
    store, sender, storage = Store(folder / "seaproof.db"), Sender(), open_storage(settings, folder)
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
def _ephemeral(settings: Settings, folder: Path) -> Iterator[None]:
    """Where the settings ask for it: an empty state, which is gone when the block ends; one left by a kill goes too."""
    if not settings.ephemeral:
        yield
        return
    marker = folder / EPHEMERAL_FILE
    if (folder / "seaproof.db").exists() and not marker.exists():
        raise SeaproofError(
            "there is a state already, which --ephemeral would remove",
            where=str(folder),
            next_step="Say SEAPROOF_STATE=FOLDER for another one, or leave out --ephemeral.",
        )
    for path in folder.iterdir() if marker.exists() else ():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name not in (LOCK_FILE, "coordinator.log", EPHEMERAL_FILE):
            path.unlink(missing_ok=True)
    marker.touch()
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the state folder. The lock is the kernel's: it goes with the process, also after SIGKILL."""
    deadline = time.monotonic() + LOCK_SECONDS
    while (file := _locked(folder, deadline)) is None:
        pass
    with file:
        yield


def _locked(folder: Path, deadline: float) -> IO[str] | None:
    """The lock file, once nobody else has it; None where it is gone by then, as an --ephemeral state is in the end: a
    lock on that would keep nobody away."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with ExitStack() as given_up:
            file = given_up.enter_context((folder / LOCK_FILE).open("a+"))
            while not _try_lock(file):
                who = _who(folder)
                if who or time.monotonic() > deadline:
                    raise SeaproofError(
                        OWNED + (who or ", which does not end"),
                        where=str(folder),
                        next_step="Commands use that one; `seaproof down` ends it.",
                    )
                time.sleep(0.05)
            if os.path.samestat(os.fstat(file.fileno()), (folder / LOCK_FILE).stat()):
                given_up.pop_all()
                return file
    except FileNotFoundError:
        pass
    return None


def wait_until_free(folder: Path, seconds: float) -> bool:
    """Wait until no coordinator has this state folder any more, at most so many seconds; whether that is so."""
    try:
        file = (folder / LOCK_FILE).open("r+")
    except FileNotFoundError:
        return True
    with file:
        deadline = time.monotonic() + seconds
        while not _try_lock(file):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _who(folder: Path) -> str:
    """The coordinator that has announced itself and lives; "" while one is starting or ending."""
    found = find(folder)
    if found is None:
        return ""
    try:
        with found:
            health = found.health()
    except (HttpError, ServiceError):  # it has begun to end since
        return ""
    return f": process {health['pid']} at {health['url']}"


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
                f"the local server cannot listen: {error.strerror}{_listens_there(settings.host, port)}",
                where=f"{settings.host}:{port}",
                next_step="Say --port 0 for a free one, or end what listens there.",
            ) from error
        return listener
    raise SeaproofError("no port is free", where=settings.host)


def _listens_there(host: str, port: int) -> str:
    """Which project's local server it is that has the port; "" where it is none of ours."""
    try:
        with Client(_url(host, port), OWNER_SECONDS) as other:
            return f"; that of {Path(other.health()['state']).parent} listens there"
    except (SeaproofError, KeyError):
        return ""


def _url(host: str, port: int) -> str:
    """How this machine calls a server that listens there: every address of it includes loopback."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{reached}]' if ':' in reached else reached}:{port}"


def _announce(folder: Path, url: str, token: str) -> None:
    """Write, whole and readable by the owner only, where this coordinator is, and what lets the command line in."""
    part = folder / f"{STATE_FILE}.part"
    part.touch(mode=0o600)
    said = {"url": url, "pid": os.getpid(), "started": time.time()} | ({"token": token} if token else {})
    part.write_text(json.dumps(said), encoding="utf-8")
    part.replace(folder / STATE_FILE)


def _run_loop(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # there is none on Windows
        asyncio.run(main)
        return
    uvloop.run(main)
