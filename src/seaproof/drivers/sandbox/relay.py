"""The relay of the process driver: from a port of the host into a workload's network namespace.

A socket belongs to the network namespace in which it was made. So the relay runs inside, with a listener that was
bound outside: it accepts there and connects here, and needs no rights for it. It listens only once the program
does, so that nobody outside takes the relay for a program that is up.
"""

from __future__ import annotations

import errno
import selectors
import socket
import struct
import time

from seaproof.drivers.sandbox import namespaces

_BUFFER = 256 * 1024
_RESET = struct.pack("ii", 1, 0)


class _Side:
    """One of the two connections of a pair; `out` is what still has to be sent on it."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.out = bytearray()
        self.connecting = False
        self.ended = False
        """Nothing more will be read from it."""
        self.closed_out = False
        self.other: _Side = self


def run(listener: socket.socket, port: int) -> None:
    """Relay until the process is killed: from `listener` to INSIDE_ADDRESS:port."""
    while not namespaces.listens(port):
        time.sleep(0.02)
    listener.listen(1024)
    listener.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ, None)
    while True:
        for key, events in selector.select():
            if key.data is None:
                _accept(selector, listener, port)
            elif key.data.socket.fileno() >= 0:
                _advance(selector, key.data, events)


def _accept(selector: selectors.BaseSelector, listener: socket.socket, port: int) -> None:
    try:
        outside = _Side(listener.accept()[0])
    except OSError:
        return
    inside = _Side(socket.socket())
    inside.other, outside.other = outside, inside
    for side in (inside, outside):
        side.socket.setblocking(False)
        side.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    inside.connecting = True
    if inside.socket.connect_ex((namespaces.INSIDE_ADDRESS, port)) not in (0, errno.EINPROGRESS):
        _close(selector, outside)
        return
    selector.register(inside.socket, selectors.EVENT_WRITE, inside)


def _advance(selector: selectors.BaseSelector, side: _Side, events: int) -> None:
    try:
        if side.connecting:
            problem = side.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if problem:
                raise OSError(problem, "connect")
            side.connecting = False
        elif events & selectors.EVENT_READ:
            _read(side)
        for end in (side, side.other):
            _flush(end)
    except OSError:
        _close(selector, side)
        return
    if side.closed_out and side.other.closed_out:
        _close(selector, side, reset=False)
        return
    for end in (side, side.other):
        _watch(selector, end)


def _read(side: _Side) -> None:
    data = side.socket.recv(_BUFFER)
    side.other.out += data
    side.ended = not data


def _flush(side: _Side) -> None:
    if side.out and not side.connecting:
        try:
            del side.out[: side.socket.send(side.out)]
        except BlockingIOError:
            return
    if side.other.ended and not side.out and not side.closed_out:
        side.socket.shutdown(socket.SHUT_WR)
        side.closed_out = True


def _watch(selector: selectors.BaseSelector, side: _Side) -> None:
    wanted = 0
    if not side.ended and not side.connecting and len(side.other.out) < _BUFFER:
        wanted |= selectors.EVENT_READ
    if side.out or side.connecting:
        wanted |= selectors.EVENT_WRITE
    registered = side.socket.fileno() in selector.get_map()
    if wanted and registered:
        selector.modify(side.socket, wanted, side)
    elif wanted:
        selector.register(side.socket, wanted, side)
    elif registered:
        selector.unregister(side.socket)


def _close(selector: selectors.BaseSelector, side: _Side, reset: bool = True) -> None:
    for end in (side, side.other):
        if end.socket.fileno() in selector.get_map():
            selector.unregister(end.socket)
        if reset and end.socket.fileno() >= 0:
            end.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.socket.close()
