"""How far each connection's answers have come, in memory that another process may read.

When a server's process is killed, only the kernel knows which bytes of an answer went out, and only the server knew
where that answer began. Two numbers for each connection, by file descriptor, are enough to tell those that wait for an
answer of which nothing was sent, and so may still be answered.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from enum import Enum

FDS = 65536
"""File descriptors that have a row. A connection beyond them is not noted down."""
ROW = 2
SIZE = FDS * ROW * 8
"""Bytes of the memory."""

ASKED, DONE = 0, 1
"""The cells of a row: bytes that had been sent when some came in; bytes that were sent when an answer was complete.
They hold one more than they mean, so that 0 means that there is none."""

_BYTES_ACKED = 120
"""Offset of tcpi_bytes_acked in the kernel's struct tcp_info (linux/tcp.h), 8 bytes."""
_SIOCOUTQ = 0x5411


class Standing(Enum):
    """How a connection stands."""

    OWED = "a request came, and nothing of its answer went out"
    IDLE = "all that was answered went out; what is asked next may lie in the kernel"
    BEGUN = "a part of an answer went out, or it cannot be told"


class Ledger:
    """Kept by one server; read by whoever has the memory and the file descriptors."""

    def __init__(self, memory: bytearray | memoryview) -> None:
        self.cells = memoryview(memory).cast("Q")
        """All rows; each connection writes to its own."""

    def open(self, fd: int) -> int:
        """Begin a row for a new connection; the index of its first cell, or -1 where there is no room."""
        if not 0 <= fd < FDS:
            return -1
        self.cells[fd * ROW + ASKED] = 0
        self.cells[fd * ROW + DONE] = 1
        return fd * ROW

    def standing(self) -> Iterator[tuple[socket.socket, Standing]]:
        """Every open connection, and how it stands. For a process that shares the file descriptors with the server,
        once that has ended; Linux only."""
        for fd in range(FDS):
            asked, done = self.cells[fd * ROW + ASKED], self.cells[fd * ROW + DONE]
            if done:
                connection = socket.socket(fileno=fd)
                taken = _taken(connection)
                owed = asked and taken == asked - 1
                yield connection, Standing.OWED if owed else Standing.IDLE if taken == done - 1 else Standing.BEGUN


def _taken(connection: socket.socket) -> int:
    """How many bytes the kernel was given to send since the connection began; -1 where it does not say."""
    try:
        while True:
            before, queued, after = _acked(connection), _queued(connection), _acked(connection)
            if before == after:  # else the client took some meanwhile, and the two do not fit together
                return after + queued if after >= 0 else -1
    except OSError:
        return -1


def _acked(connection: socket.socket) -> int:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    if len(info) < _BYTES_ACKED + 8:
        return -1
    return int.from_bytes(info[_BYTES_ACKED : _BYTES_ACKED + 8], sys.byteorder)


def _queued(connection: socket.socket) -> int:
    import fcntl  # there is none on Windows, where the client runs too

    return int(struct.unpack("i", fcntl.ioctl(connection, _SIOCOUTQ, b"\0\0\0\0"))[0])
