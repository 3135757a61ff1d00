"""What the ledger tells of connections whose server is gone, on real ones."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from seaproof.http.ledger import ASKED, DONE, READ, SIZE, Ledger, Standing

REQUEST, ANSWER = b"POST / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"


class Side:
    """The server's side of one connection, whose every step may be its last."""

    def __init__(self, connection: socket.socket, ledger: Ledger) -> None:
        self.connection, self._ledger = connection, ledger
        self._row = ledger.open(connection.fileno())
        self._sent = self._read = 0

    def take(self) -> Side:
        self._read += len(self.connection.recv(65536))
        return self

    def note(self) -> Side:
        self._ledger.cells[self._row + ASKED] = self._sent + 1
        self._ledger.cells[self._row + READ] = self._read
        return self

    def plan(self) -> Side:
        self._ledger.cells[self._row + DONE] = self._sent + len(ANSWER) + 1
        return self

    def send(self, part: bytes = ANSWER) -> Side:
        self._sent += self.connection.send(part)
        return self


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Side, Ledger]]:
    """The client, which has sent a request, the server's side, and the ledger."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ledger = Ledger(bytearray(SIZE), listener.getsockname()[1])
        client = socket.create_connection(listener.getsockname())
        side = Side(listener.accept()[0], ledger)
        client.sendall(REQUEST)
        yield client, side, ledger
    client.close()


def whole(side: Side) -> Side:
    return side.take().note().plan().send()


@pytest.mark.parametrize(
    ("steps", "standing"),
    [
        (lambda client, side: side, Standing.IDLE),
        (lambda client, side: side.take(), Standing.OWED),
        (lambda client, side: side.take().note(), Standing.OWED),
        (lambda client, side: side.take().note().plan(), Standing.OWED),
        (lambda client, side: side.take().note().plan().send(ANSWER[:5]), Standing.BEGUN),
        (lambda client, side: whole(side), Standing.IDLE),
        (lambda client, side: (whole(side), client.sendall(REQUEST)), Standing.IDLE),
        (lambda client, side: (whole(side), client.sendall(REQUEST), side.take()), Standing.OWED),
        (lambda client, side: (whole(side), client.sendall(REQUEST), side.take().note()), Standing.OWED),
        (lambda client, side: (whole(side), client.shutdown(socket.SHUT_WR), side.take()), Standing.IDLE),
    ],
    ids=[
        "nobody has read the request",
        "it was read and not noted",
        "it was noted",
        "an answer was about to go",
        "a part of it went",
        "all of it went",
        "the next request lies in the kernel",
        "the next was read and not noted",
        "the next was noted",
        "the client sends no more",
    ],
)
def test_how_a_connection_stands(ends: tuple[socket.socket, Side, Ledger], steps, standing: Standing) -> None:
    client, side, ledger = ends
    steps(client, side)
    side.connection.detach()

    ((left, told),) = ledger.standing()
    left.close()

    assert told is standing


def test_a_connection_that_was_accepted_and_not_noted_is_found_and_no_other(
    ends: tuple[socket.socket, Side, Ledger],
) -> None:
    client, side, _ = ends
    side.connection.detach()

    ((left, told),) = Ledger(bytearray(SIZE), client.getpeername()[1]).standing()
    request = left.recv(65536)
    left.close()

    assert (request, told) == (REQUEST, Standing.IDLE)
