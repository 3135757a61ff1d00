"""All containers of one pipeline: adopted or started together, closed together."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO

from seaproof.drivers.choice import open_driver
from seaproof.drivers.driver import Driver
from seaproof.drivers.process import ProcessDriver
from seaproof.errors import DriverError, SeaproofError
from seaproof.gateway.adopted import Adopted
from seaproof.gateway.seats import Keeper, Say, Seat
from seaproof.gateway.started import Started
from seaproof.inference_pipeline import InferencePipeline
from seaproof.invocations.send import Sender
from seaproof.project import Project, plain_name
from seaproof.settings import Settings, state_folder


class Containers:
    """The seats of a pipeline, in order, and what fills them. A container that is named twice has one seat."""

    def __init__(self, pipeline: InferencePipeline, project: Project, settings: Settings, say: Say) -> None:
        self._project, self._settings, self._say = project, settings, say
        # A folder of its own: the local server of the project stops what it finds in its own and does not know.
        self._state = state_folder(settings, project.root) / "pipeline"
        self._sender = Sender()
        self._lock: IO[str] | None = None
        self._drivers: dict[str, Driver] = {}
        by_name: dict[str, Seat] = {}
        for container in pipeline.containers:
            by_name.setdefault(container.name, Seat(container))
        self.chain: tuple[Seat, ...] = tuple(by_name[container.name] for container in pipeline.containers)
        """One seat per step."""
        self.seats: tuple[Seat, ...] = tuple(by_name.values())

    def plan(self) -> list[str]:
        """What `open` would do, a line for each container. SeaproofError where it could not be done."""
        try:
            return [self._keeper(number, seat).plan() for number, seat in enumerate(self.seats, 1)]
        finally:
            self.close()

    def open(self) -> None:
        """Fill every seat, side by side, and wait for their pings. SeaproofError of the first that fails."""
        if any(not seat.container.is_adopted for seat in self.seats):
            self._take_lock()
        keepers = [self._keeper(number, seat) for number, seat in enumerate(self.seats, 1)]
        self._clear_leftovers()
        self._all(keepers, lambda keeper: keeper.open())

    def close(self) -> None:
        """Stop what was started, all at once."""
        self._all([seat.keeper for seat in self.seats if seat.keeper], lambda keeper: keeper.close())
        self._sender.close()
        if self._lock:
            self._lock.close()
            self._lock = None

    def _all(self, keepers: Sequence[Keeper], do: Callable[[Keeper], None]) -> None:
        if not keepers:
            return
        with ThreadPoolExecutor(len(keepers), "pipeline") as pool:
            futures = [pool.submit(do, keeper) for keeper in keepers]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                # The others need not be waited for: closing ends their waits.
                for keeper in keepers:
                    keeper.close()
                raise

    def _keeper(self, number: int, seat: Seat) -> Keeper:
        if seat.keeper is None:
            if seat.container.is_adopted:
                seat.keeper = Adopted(seat, self._settings, self._sender, self._say)
            else:
                workload = f"pipeline-{number}-{plain_name(seat.name)}"
                driver = self._driver(seat)
                seat.keeper = Started(seat, workload, driver, self._state, self._settings, self._sender, self._say)
        return seat.keeper

    def _driver(self, seat: Seat) -> Driver:
        """A folder runs on the process driver; an image on the driver of the settings."""
        kind = "folders" if seat.container.program else "images"
        if kind not in self._drivers:
            folders = {each.name: each.container.program for each in self.seats if each.container.program}
            self._drivers[kind] = (
                ProcessDriver(self._state, folders)
                if kind == "folders"
                else open_driver(self._settings, self._project, self._state)
            )
        return self._drivers[kind]

    def _take_lock(self) -> None:
        self._state.mkdir(parents=True, exist_ok=True)
        lock = (self._state / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise SeaproofError(
                "another `seaproof pipeline` of this project runs, and has started its containers",
                where=str(self._state),
                next_step="End that one first, or run this one in another project folder.",
            ) from error
        self._lock = lock

    def _clear_leftovers(self) -> None:
        """Stop what a gateway that was killed had started."""
        for driver in self._drivers.values():
            for handle in driver.recover():
                with suppress(DriverError):
                    driver.stop(handle, 0)
