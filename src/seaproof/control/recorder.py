"""Work that nobody waits for: entries are taken at once and written a moment later, in batches, by one thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from seaproof.control.plane import Plane
from seaproof.errors import SeaproofError

Entry = TypeVar("Entry")

MOST_BYTES = 256 * 1024 * 1024
"""Of entries that wait; what would exceed it is dropped, and counted."""

_log = logging.getLogger(__name__)


class Recorder(Generic[Entry]):
    """Gives what it takes to `write`, every so many seconds and once more at the end. Usable from any thread."""

    def __init__(self, plane: Plane, name: str, write: Callable[[list[Entry]], None], every: float) -> None:
        self._plane = plane
        self._name = name
        self._write = write
        self._every = every
        self._lock = threading.Lock()
        self._waiting: list[Entry] = []
        self._bytes = 0
        self._runs = False
        self._dropped = 0

    def take(self, entry: Entry, size: int) -> None:
        """One more entry, of about so many bytes. Never waits, and never fails."""
        with self._lock:
            if self._bytes + size > MOST_BYTES:
                self._dropped += 1
                return
            self._waiting.append(entry)
            self._bytes += size
            if self._runs:
                return
            self._runs = True
        self._plane.spawn(self._name, self._work)

    def _work(self) -> None:
        """Write what waits until nothing does; the thread ends then, and the next entry brings another."""
        while True:
            self._plane.closing.wait(self._every)
            with self._lock:
                entries, self._waiting, self._bytes = self._waiting, [], 0
                dropped, self._dropped = self._dropped, 0
                if not entries:
                    self._runs = False
                    return
            if dropped:
                _log.warning("%s: %d entries were left out, as too many waited to be written", self._name, dropped)
            try:
                self._write(entries)
            except (OSError, SeaproofError) as error:
                _log.warning("%s: %d entries could not be written: %s", self._name, len(entries), error)
