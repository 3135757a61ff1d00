"""How far each connection's answers have come, in memory that another process may read.

When a server's process is killed, only the kernel knows which bytes of an answer went out, and only the server knew
where that answer began. Three numbers for each connection, by file descriptor, are enough to tell those that wait for
an answer of which nothing was sent, and so may still be answered.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from pathlib import Path

FDS = 65536
"""File descriptors that have a row. A connection beyond them is not noted down."""
ROW = 3
SIZE = FDS * ROW * 8
"""Bytes of the memory."""

ASKED, DONE, READ = 0, 1, 2
"""The cells of a row: bytes that had been sent when some came in; bytes that were sent when an answer was complete;
bytes that came in. The first two hold one more than they mean, so that 0 means that there is none."""

_BYTES_ACKED, _BYTES_RECEIVED = 120, 128
"""Offsets in the kernel's struct tcp_info (linux/tcp.h), 8 bytes each."""
_SIOCOUTQ, _SIOCINQ = 0x5411, 0x541B
_FIN = 1
"""The kernel counts the end of what a client sends as a byte."""


class Standing(Enum):
    """How a connection stands."""

    OWED = "a request came, and nothing of its answer went out"
    IDLE = "all that was answered went out; what is asked next may lie in the kernel"
    BEGUN = "a part of an answer went out, or it cannot be told"


class Ledger:
    """Kept by one server; read by whoever has the memory and the file descriptors."""

    def __init__(self, memory: bytearray | memoryview, port: int) -> None:
        """`port` is the one that connections are made to."""
        self._port = port
        self.cells = memoryview(memory).cast("Q")
        """All rows; each connection writes to its own."""

    def open(self, fd: int) -> int:
        """Begin a row for a new connection; the index of its first cell, or -1 where there is no room."""
        if not 0 <= fd < FDS:
            return -1
        self.cells[fd * ROW + ASKED] = 0
        self.cells[fd * ROW + DONE] = 1
        self.cells[fd * ROW + READ] = 0
        return fd * ROW

    def standing(self) -> Iterator[tuple[socket.socket, Standing]]:
        """Every open connection, and how it stands. For a process that shares the file descriptors with the server,
        once that has ended; Linux only."""
        for fd in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
            asked, done, read = self.cells[fd * ROW : (fd + 1) * ROW] if fd < FDS else (0, 0, 0)
            if done:
                connection = socket.socket(fileno=fd)
                taken = _taken(connection)
                idle = taken == done - 1
                owed = (asked and taken == asked - 1) or (idle and _given(connection) > read + _FIN)
                yield connection, Standing.OWED if owed else Standing.IDLE if idle else Standing.BEGUN
            elif accepted := _accepted(fd, self._port):
                yield accepted, Standing.IDLE  # it had no time to begin a row


def _accepted(fd: int, port: int) -> socket.socket | None:
    """The connection behind a file descriptor, if a client made it to this port."""
    try:
        connection = socket.socket(fileno=fd)
    except OSError:  # no socket
        return None
    with suppress(OSError):  # nobody is at the other end
        if connection.family in (socket.AF_INET, socket.AF_INET6) and connection.getsockname()[1] == port:
            connection.getpeername()
            return connection
    connection.detach()
    return None


def _taken(connection: socket.socket) -> int:
    """How many bytes the kernel was given to send since the connection began; -1 where it does not say."""
    try:
        while True:
            before = _told(connection, _BYTES_ACKED)
            queued, after = _waiting(connection, _SIOCOUTQ), _told(connection, _BYTES_ACKED)
            if before == after:  # else the client took some meanwhile, and the two do not fit together
                return after + queued if after >= 0 else -1
    except OSError:
        return -1


def _given(connection: socket.socket) -> int:
    """How many bytes the kernel gave away of what came in; 0 where it does not say. A server may have died with some in
    its hands that it had not noted yet."""
    try:
        return max(0, _told(connection, _BYTES_RECEIVED) - _waiting(connection, _SIOCINQ))
    except OSError:
        return 0


def _told(connection: socket.socket, offset: int) -> int:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return int.from_bytes(info[offset : offset + 8], sys.byteorder) if len(info) >= offset + 8 else -1


def _waiting(connection: socket.socket, queue: int) -> int:
    import fcntl  # there is none on Windows, where the client runs too

    return int(struct.unpack("i", fcntl.ioctl(connection, queue, b"\0\0\0\0"))[0])
