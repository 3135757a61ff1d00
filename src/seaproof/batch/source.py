"""The bytes of one object, by offset: a file is read where it is needed, a stream through a window that moves on.

Files are read with `pread` and not mapped: a file that is cut short while a job reads it would end the process
(SIGBUS), and the pages of a large one would count as memory of the process.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from seaproof.errors import StorageError

PIECE = 1024 * 1024


class Source(Protocol):
    """One object. Offsets count from its first byte; nobody reads below what was released."""

    lazy: bool
    """Whether `read` may be called at any time, for any range, from any thread."""

    def ends_by(self, offset: int) -> bool:
        """Whether the object has no byte at or after `offset`."""
        ...

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to before `stop`, fewer where the object ends."""
        ...

    def release(self, offset: int) -> None:
        """Nothing before `offset` is needed any more."""
        ...

    def close(self) -> None: ...


class FileSource:
    """A file of this machine."""

    lazy = True

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._descriptor = file.fileno()
        self.size = os.fstat(self._descriptor).st_size

    def ends_by(self, offset: int) -> bool:
        return offset >= self.size

    def read(self, start: int, stop: int) -> bytes:
        stop = min(stop, self.size)
        data = os.pread(self._descriptor, max(0, stop - start), start)
        if start + len(data) >= stop:
            return data
        parts = [data]  # the kernel gives no more than 2 GiB at once
        at = start + len(data)
        while at < stop:
            part = os.pread(self._descriptor, stop - at, at)
            if not part:
                raise StorageError("the object was cut short while it was read", next_step="Start the job again.")
            parts.append(part)
            at += len(part)
        return b"".join(parts)

    def release(self, offset: int) -> None:
        pass

    def close(self) -> None:
        self._file.close()


class StreamSource:
    """Anything that can only be read from front to back; holds what was read and not released."""

    lazy = False

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._window = bytearray()
        self._base = 0
        self._ended = False

    def ends_by(self, offset: int) -> bool:
        self._fill(offset + 1)
        return self._base + len(self._window) <= offset

    def read(self, start: int, stop: int) -> bytes:
        self._fill(stop)
        return bytes(memoryview(self._window)[start - self._base : stop - self._base])

    def release(self, offset: int) -> None:
        # Moving what is left costs as much as it is long: not for every record.
        if offset - self._base >= PIECE or offset - self._base >= len(self._window):
            del self._window[: offset - self._base]
            self._base = min(offset, self._base + max(0, offset - self._base))

    def close(self) -> None:
        self._stream.close()

    def _fill(self, stop: int) -> None:
        while not self._ended and self._base + len(self._window) < stop:
            try:
                part = self._stream.read(max(PIECE, stop - self._base - len(self._window)))
            except (OSError, EOFError) as error:
                raise StorageError(f"the object cannot be read: {error}") from error
            if not part:
                self._ended = True
            self._window += part


def open_source(stream: BinaryIO) -> Source:
    """The fitting source for what storage gave."""
    try:
        stream.fileno()
    except (OSError, AttributeError, io.UnsupportedOperation):
        return StreamSource(stream)
    return FileSource(stream)


def pieces(source: Source, start: int = 0) -> Iterator[bytes]:
    """All of the object from `start` on, piece by piece."""
    while part := source.read(start, start + PIECE):
        start += len(part)
        source.release(start)
        yield part
