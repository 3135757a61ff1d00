"""A container that somebody else started: found in the engine by its exact name, followed when it is restarted.

It is never stopped here. Where no engine knows the name but the configuration gives a port of this machine, and
something listens there, that is it.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from seaproof.drivers.docker.adoption import Finder, NotRunning
from seaproof.drivers.driver import Exit
from seaproof.errors import DriverError, DriverUnavailable
from seaproof.gateway.pings import await_ping
from seaproof.gateway.seats import LOG_LINES, Place, Say, Seat
from seaproof.invocations.send import Sender
from seaproof.settings import Settings

_EVERY = 2.0
"""Seconds between two looks at a container; a refused connection is a look at once."""


class Adopted:
    """Keeps a seat filled with the running container of its name; see `seats.Keeper`."""

    def __init__(self, seat: Seat, settings: Settings, sender: Sender, say: Say) -> None:
        self._seat, self._settings, self._sender, self._say = seat, settings, sender, say
        self._closing = threading.Event()
        self._looking = threading.Lock()
        self._finder: Finder | None = None
        self._id = ""
        self._thread: threading.Thread | None = None

    def plan(self) -> str:
        """See Keeper."""
        place = self._find()
        return f"{self._seat.name} runs and is adopted at {place.host}:{place.port} ({place.how})"

    def open(self) -> None:
        """See Keeper."""
        self._seat.filled(self._find())
        self._say(f"{self._seat.name}: adopted at {_shown(self._seat.place)}; waiting for its /ping")
        await_ping(self._sender, self._settings, self._seat.name, self._find_again, self._go_on, self._say)
        self._thread = threading.Thread(target=self._watch, name=f"watch {self._seat.name}", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """See Keeper."""
        before = self._seat.place
        with self._looking:
            try:
                place = self._find()
            except DriverError as error:
                if before is not None:
                    self._say(f"{self._seat.name}: {error}")
                self._seat.emptied(str(error))
                return
            if place == self._seat.place:
                return
            self._seat.filled(place)
        self._say(f"{self._seat.name}: found again at {_shown(place)}")

    def last_lines(self, since: float) -> str:
        """See Keeper."""
        return self._finder.last_lines(self._id, LOG_LINES) if self._finder and self._id else ""

    def ended(self, since: float) -> Exit | None:
        """See Keeper."""
        return self._finder.ended(self._id) if self._finder and self._id else None

    def close(self) -> None:
        """See Keeper."""
        self._closing.set()
        if self._thread:
            self._thread.join()
        if self._finder:
            self._finder.close()
            self._finder = None

    def _find(self) -> Place:
        """Where it is now; DriverError where it is not."""
        container = self._seat.container
        try:
            if self._finder is None:
                self._finder = Finder()
            running = self._finder.find(container.name, container.port)
        except (NotRunning, DriverUnavailable):
            if container.port is not None and _listens(container.port):
                return Place("127.0.0.1", container.port, "port", "the port of the configuration")
            raise
        self._id = running.id
        return Place(running.host, running.port, f"{running.id} {running.start}", running.how)

    def _find_again(self) -> Place:
        """Until it is ready it may be restarted elsewhere, or end."""
        place = self._find()
        self._seat.filled(place)
        return place

    def _watch(self) -> None:
        while not self._closing.wait(_EVERY):
            with suppress(DriverError):
                self.look()

    def _go_on(self) -> None:
        if self._closing.is_set():
            raise DriverError("the gateway is closing")


def _shown(place: Place | None) -> str:
    return f"{place.host}:{place.port} ({place.how})" if place else "nowhere"


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0):
            return True
    except OSError:
        return False
