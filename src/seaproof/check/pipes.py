"""Channels of Pipe mode: FIFOs that are fed as the platform feeds them, by threads that never wait for ever."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import select
import struct
import termios
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seaproof.check.run import Run

_PIECE = 64 * 1024
_STEP, _LOOK = 0.02, 0.2


class Feed:
    """Feeds every channel, epoch after epoch: the first FIFO is there at once, the next one when that was read.

    `close` ends it.
    """

    def __init__(self, root: Path, channels: Mapping[str, str]) -> None:
        self._over = threading.Event()
        self._run: Run | None = None
        self.readers: dict[str, int] = {}
        """How many opened each FIFO at once, at most."""
        self._written: dict[str, int | None] = {}
        self._threads = []
        for name, source in channels.items():
            path = root / "input" / "data"
            data = _content(Path(source))
            os.mkfifo(path / f"{name}_0", 0o666)
            thread = threading.Thread(target=self._feed, args=(path, name, data), daemon=True)
            self._threads.append(thread)
            thread.start()

    def watch(self, run: Run) -> None:
        """Look from now on at who of its processes reads."""
        self._run = run

    def told(self) -> list[str]:
        """What came of each FIFO, a line each."""
        return [
            f"{name}: {'never opened' if count is None else f'{count:,} bytes read'}"
            for name, count in sorted(self._written.items())
        ]

    def unread(self) -> list[str]:
        """FIFOs of the first epoch that nobody opened."""
        return sorted(name for name, count in self._written.items() if count is None and name.endswith("_0"))

    def close(self) -> None:
        """End the threads."""
        self._over.set()
        for thread in self._threads:
            thread.join(5)

    def _feed(self, folder: Path, name: str, data: bytes) -> None:
        for epoch in itertools.count():
            fifo = folder / f"{name}_{epoch}"
            if epoch:
                os.mkfifo(fifo, 0o666)
            self._written[fifo.name] = None
            handle = self._open(fifo)
            if handle is None:
                return
            self._written[fifo.name] = 0
            try:
                self._write(fifo.name, handle, data)
            finally:
                os.close(handle)
            with suppress(OSError):
                fifo.unlink()

    def _open(self, fifo: Path) -> int | None:
        """The FIFO, once somebody reads it; None where nobody does before the end."""
        while not self._over.is_set():
            try:
                return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno not in (errno.ENXIO, errno.ENOENT):
                    return None
            time.sleep(_STEP)
        return None

    def _write(self, name: str, handle: int, data: bytes) -> None:
        at, looked = 0, 0.0
        # It stays open until all is read: a second reader may come while a small file lies in the pipe whole.
        while (at < len(data) or _is_awaited(handle)) and not self._over.is_set():
            if time.monotonic() - looked > _LOOK:
                looked = time.monotonic()
                self.readers[name] = max(self.readers.get(name, 0), self._reading(handle))
            if at >= len(data):
                time.sleep(_STEP)
                continue
            try:
                at += os.write(handle, data[at : at + _PIECE])
                self._written[name] = at
            except BlockingIOError:
                time.sleep(_STEP)
            except BrokenPipeError:
                return  # the reader closed early, as it may

    def _reading(self, handle: int) -> int:
        """How many of its processes have opened this FIFO by themselves; one that inherited it has the same number."""
        fifo, numbers = os.fstat(handle), set()
        for pid in self._run.usage().processes if self._run is not None else ():
            with suppress(OSError):
                for number in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
                    with suppress(OSError):
                        found = os.stat(f"/proc/{pid}/fd/{number}")  # noqa: PTH116
                        if (found.st_dev, found.st_ino) == (fifo.st_dev, fifo.st_ino):
                            numbers.add((number, _opened(pid, number)))
        return len(numbers)


def _is_awaited(handle: int) -> bool:
    """Whether something that was written is not read yet, by a reader that is still there."""
    left = struct.unpack("i", fcntl.ioctl(handle, termios.FIONREAD, struct.pack("i", 0)))[0]
    look = select.poll()
    look.register(handle, 0)
    return left > 0 and not any(what & select.POLLERR for _, what in look.poll(0))


def _opened(pid: int, number: str) -> int:
    """The process that opened this file: the eldest of those that have it under the same number."""
    while True:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        parent = int(stat.rpartition(")")[2].split()[1])
        mine, above = Path(f"/proc/{pid}/fd/{number}"), Path(f"/proc/{parent}/fd/{number}")
        try:
            same = mine.stat().st_ino == above.stat().st_ino
        except OSError:
            return pid
        if not same:
            return pid
        pid = parent


def _content(source: Path) -> bytes:
    """All files of a channel, one after another by name."""
    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    return b"".join(path.read_bytes() for path in files)
