"""A container that the gateway starts, restarts when it dies, and stops in the end.

Died before ready: the gateway says why and ends. Died after ready: it is started again, at most RESTARTS times in a
row that it did not live for a minute.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seaproof.contract.environ import DEFAULT_PORT, MULTI_MODEL
from seaproof.contract.opt_ml import OptMl
from seaproof.drivers.driver import Driver, Exit, Handle, Workload
from seaproof.errors import DriverError, SeaproofError, StartFailed
from seaproof.gateway.pings import await_ping
from seaproof.gateway.seats import LOG_LINES, Place, Say, Seat
from seaproof.invocations.diagnosis import listening_elsewhere
from seaproof.invocations.send import Sender
from seaproof.settings import Settings

RESTARTS = 5
FIRST_PAUSE = 1.0
"""Seconds before the second restart in a row; the first is at once, and each later pause is twice as long."""
_LIVED_WELL = 60.0
_SLICE = 0.2
_LOG_BYTES = 64 * 1024


@dataclass(frozen=True)
class _Death:
    at: float
    exit: Exit
    log: str


class Started:
    """Keeps a seat filled with a workload of its own; see `seats.Keeper`."""

    def __init__(
        self,
        seat: Seat,
        workload: str,
        driver: Driver,
        state: Path,
        settings: Settings,
        sender: Sender,
        say: Say,
        *,
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        self._first_pause = first_pause
        self._seat, self._driver, self._settings, self._sender, self._say = seat, driver, settings, sender, say
        self._opt_ml = state / "opt-ml" / workload
        self._workload = self._describe(workload)
        self._handle: Handle | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._death: _Death | None = None

    def plan(self) -> str:
        """See Keeper."""
        return f"{self._seat.name} is started from {self._source} by the {self._driver.name} driver, stopped in the end"

    def open(self) -> None:
        """See Keeper."""
        self._say(f"{self._seat.name}: starting it from {self._source}; waiting for its /ping")
        self._start()
        self._thread = threading.Thread(target=self._keep, name=f"keep {self._seat.name}", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """See Keeper. Its thread learns of its end at once."""

    def last_lines(self, since: float) -> str:
        """See Keeper."""
        if self._death and self._death.at >= since:
            return self._death.log
        handle = self._handle
        return self._tail(handle) if handle else ""

    def ended(self, since: float) -> Exit | None:
        """See Keeper."""
        return self._death.exit if self._death and self._death.at >= since else None

    def close(self) -> None:
        """See Keeper."""
        self._closing.set()
        if self._thread:
            self._thread.join()
        self._stop(self._settings.stop_endpoint_grace)

    @property
    def _source(self) -> str:
        program = self._seat.container.program
        return f"folder {program.folder}" if program else f"image {self._seat.container.image}"

    def _describe(self, workload: str) -> Workload:
        container, memory = self._seat.container, self._settings.memory * 1024 * 1024
        mode = {MULTI_MODEL: "true"} if container.multi else {}
        return Workload(
            name=workload,
            image=container.image or container.name,
            opt_ml=self._opt_ml,
            arguments=("serve",),
            environment={**mode, **container.environment},
            port=DEFAULT_PORT,
            memory=memory or None,
        )

    def _start(self) -> None:
        """Start it and wait until it is ready. SeaproofError where it does not come to that; nothing is left then."""
        handle: Handle | None = None
        try:
            self._lay_out()
            handle = self._handle = self._driver.start(self._workload)
            assert handle.host is not None
            assert handle.port is not None
            place = Place(handle.host, handle.port, handle.id, f"{self._driver.name} driver", self._models())
            await_ping(self._sender, self._settings, self._seat.name, lambda: place, self._go_on, self._say)
        except (SeaproofError, OSError) as error:
            lines = self._tail(self._handle) if self._handle else ""
            self._stop(0)
            if isinstance(error, SeaproofError) and not lines:
                raise
            # What follows the message would be read as part of the log.
            where = "" if lines else self._seat.name
            raise StartFailed(f"{str(error).rstrip('.')}{_told_by(lines, handle)}", where=where) from error
        self._seat.filled(place)

    def _lay_out(self) -> None:
        """A fresh /opt/ml with copies of its model or models: it may write there."""
        tree, container = OptMl(self._opt_ml), self._seat.container
        shutil.rmtree(self._opt_ml, ignore_errors=True)
        tree.model.mkdir(parents=True)
        if container.model:
            shutil.copytree(container.model, tree.model, dirs_exist_ok=True)
        for folder in sorted(container.models.iterdir()) if container.models else []:
            if folder.is_dir():
                shutil.copytree(folder, tree.models / folder.name / "model")

    def _models(self) -> str:
        """Where the container sees its models: without namespaces that is a folder of this machine."""
        spaces = self._driver.check().facts.get("namespaces", "") if self._driver.name == "process" else ""
        return str(OptMl(self._opt_ml).models) if spaces.startswith("not allowed") else Place.models

    def _keep(self) -> None:
        """Start it again whenever it has ended, until it has been tried too often or the gateway closes."""
        deaths, began = 0, time.monotonic()
        while not self._closing.is_set():
            exit = self._exit(_SLICE)
            if exit is None:
                continue
            deaths = 1 if time.monotonic() - began > _LIVED_WELL else deaths + 1
            ended = self._remember(exit)
            if deaths > RESTARTS:
                self._give_up(f"it ended {deaths} times in a row ({ended}) and is not started again")
                return
            self._seat.emptied(f"it ended ({ended}) and is being started again")
            self._say(f"{self._seat.name}: ended ({ended}); started again ({deaths} of {RESTARTS})")
            self._stop(0)
            if self._closing.wait(0.0 if deaths == 1 else self._first_pause * 2 ** (deaths - 2)):
                return
            began = time.monotonic()
            try:
                self._start()
            except SeaproofError as error:
                if not self._closing.is_set():
                    self._give_up(f"it could not be started again: {error}")
                return
            self._say(f"{self._seat.name}: answers again")

    def _remember(self, exit: Exit) -> str:
        """Keep what is known of the end, for the requests that it met; gives it in words."""
        self._death = _Death(time.monotonic(), exit, self._tail(self._handle) if self._handle else "")
        return describe_exit(exit)

    def _give_up(self, problem: str) -> None:
        self._seat.emptied(problem)
        self._say(f"{self._seat.name}: {problem}")

    def _exit(self, timeout: float) -> Exit | None:
        """How it ended, or None. What the driver knows nothing of any more has been killed."""
        if self._handle is None:
            return Exit(137)
        try:
            return self._driver.wait(self._handle, timeout)
        except DriverError:
            return None if self._closing.wait(timeout) else Exit(137)

    def _go_on(self) -> None:
        if self._closing.is_set():
            raise StartFailed("the gateway is closing")
        if self._handle is not None and (exit := self._driver.wait(self._handle, 0.0)):
            ended = self._remember(exit)
            raise StartFailed(f"container {self._seat.name} ended before it answered /ping: {ended}")

    def _stop(self, grace: float) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(DriverError):
                self._driver.stop(handle, grace)
        shutil.rmtree(self._opt_ml, ignore_errors=True)

    def _tail(self, handle: Handle) -> str:
        pieces: deque[bytes] = deque()
        held = 0
        with suppress(DriverError):
            for piece in self._driver.logs(handle):
                pieces.append(piece)
                held += len(piece)
                while held - len(pieces[0]) > _LOG_BYTES:
                    held -= len(pieces.popleft())
        return "\n".join(b"".join(pieces).decode("utf-8", "replace").splitlines()[-LOG_LINES:])


def _told_by(log: str, handle: Handle | None) -> str:
    """What the log adds to a start that failed."""
    elsewhere = listening_elsewhere(log, {DEFAULT_PORT, handle.port or 0 if handle else 0})
    port = (
        f"\nIt says that it listens on {elsewhere}; it must listen on 0.0.0.0, port {DEFAULT_PORT}" if elsewhere else ""
    )
    said = f"\nThe last lines of its log:\n{log}" if log else ""
    return port + said


def describe_exit(exit: Exit) -> str:
    """How it ended, in words."""
    memory = ", out of memory" if exit.out_of_memory else ""
    signal = f", by signal {exit.code - 128}" if exit.code > 128 and not memory else ""
    return f"exit code {exit.code}{memory}{signal}"
