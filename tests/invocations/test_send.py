"""The sender against real sockets: pings, requests, and its end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from seaproof.errors import HttpError
from seaproof.http.message import Request
from seaproof.invocations.flow import invocation
from seaproof.invocations.routing import Container, Instance, Routes, Routing, Variant
from seaproof.invocations.send import Ping, Sender
from seaproof.settings import Settings


@pytest.fixture
def sender() -> Iterator[Sender]:
    sender = Sender()
    yield sender
    sender.close()


def a_server(*answers: bytes) -> tuple[int, list[bytes]]:
    """A port that answers each connection with these bytes and closes it, and what it received on each."""
    listener, received = socket.create_server(("127.0.0.1", 0)), []

    def serve() -> None:
        with listener:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    received.append(connection.recv(65536))
                    connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1], received


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def test_a_ping_says_what_came_of_it(sender: Sender):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        busy = silent.getsockname()[1]
        late = sender.ping("127.0.0.1", busy, 0.1)
    port, received = a_server(OK, b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", b"", b"what\r\n\r\n")

    pings = [sender.ping("127.0.0.1", port, 2.0) for _ in range(4)]

    assert pings == [Ping(200), Ping(503), Ping(problem="closed"), Ping(problem="malformed")]
    assert [ping.healthy for ping in pings] == [True, False, False, False]
    assert late == Ping(problem="timeout")
    assert sender.ping("127.0.0.1", busy, 2.0) == Ping(problem="refused")
    assert received[0].startswith(b"GET /ping HTTP/1.1\r\n")


def test_a_request_gives_its_reply_or_says_why_not(sender: Sender):
    port, received = a_server(OK, b"")

    reply = sender.request("127.0.0.1", port, "POST", "/models", headers=[(b"X-A", b"1")], body=b"{}", timeout=2.0)
    with pytest.raises(HttpError) as caught:
        sender.request("127.0.0.1", port, "POST", "/models", timeout=2.0)

    assert (reply.status, reply.body) == (200, b"hi")
    assert b"X-A: 1\r\n" in received[0]
    assert caught.value.kind == "closed"


def test_an_invocation_is_driven_over_the_network_and_moves_on_where_it_is_refused(sender: Sender):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        dead = gone.getsockname()[1]
    port, _ = a_server(OK)
    instances = tuple(Instance(f"i-{n}", (Container("primary", "127.0.0.1", n),)) for n in (dead, port))
    routes = Routes()
    routes.publish(Routing("e", (Variant("v", 1.0, instances),)))

    response = sender.invoke(invocation(routes, "e", Request("POST", "/", body=b"x"), Settings()))

    assert response.body == b"hi"
    assert [instance.outstanding for instance in instances] == [0, 0]


def test_a_sender_that_is_closed_ends_what_is_under_way_and_takes_no_more(sender: Sender):
    problems: list[str] = []

    def ask(port: int) -> None:
        try:
            sender.request("127.0.0.1", port, "GET", "/", timeout=30.0)
        except HttpError as error:
            problems.append(error.kind)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        thread = threading.Thread(target=ask, args=(silent.getsockname()[1],))
        thread.start()
        connection, _ = silent.accept()
        started = time.monotonic()
        sender.close()
        thread.join()
        connection.close()

    assert problems == ["closed"]
    assert time.monotonic() - started < 5
    with pytest.raises(HttpError, match="the sender is closed"):
        sender.ping("127.0.0.1", 1, 1.0)
    sender.close()
