"""Ports that drivers give to programs."""

from __future__ import annotations

import socket

from seaproof.drivers.ports import LOWEST, free_port


def test_a_port_is_free_and_none_that_the_system_gives_to_somebody_else() -> None:
    given = [free_port() for _ in range(20)]

    for port in given:
        with socket.create_server(("127.0.0.1", 0)) as anybody, socket.create_server(("127.0.0.1", port)):
            assert LOWEST <= port < anybody.getsockname()[1]
    assert len(set(given)) > 10
