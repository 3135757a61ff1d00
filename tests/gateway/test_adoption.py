"""Where a container that somebody else started is reached, from what an engine says of it."""

from __future__ import annotations

from typing import Any

import pytest

from seaproof.drivers.docker.adoption import NotReachable, address, port_of
from seaproof.drivers.docker.engine import Engine

LOCAL = Engine("unix:///var/run/docker.sock", "", "Docker", "27", "1.47", (), "Debian")
DESKTOP = Engine("unix:///home/me/.docker/desktop/docker.sock", "", "Docker", "27", "1.47", (), "Docker Desktop")
REMOTE = Engine("tcp://build.example:2375", "", "Docker", "27", "1.47", (), "Debian")


def _bound(*bindings: tuple[str, int]) -> list[dict[str, str]]:
    return [{"HostIp": ip, "HostPort": str(port)} for ip, port in bindings]


def _found(ports: dict[str, Any], environment: list[str] | None = None, **network: str) -> dict[str, Any]:
    return {
        "Config": {"Env": environment or []},
        "NetworkSettings": {"Ports": ports, "Networks": {"bridge": network} if network else {}},
    }


EVERYWHERE = _bound(("0.0.0.0", 32768), ("::", 32768))


@pytest.mark.parametrize(
    ("ports", "engine", "hint", "expected"),
    [
        ({"8080/tcp": EVERYWHERE}, LOCAL, None, ("127.0.0.1", 32768)),
        ({"8080/tcp": EVERYWHERE}, DESKTOP, None, ("127.0.0.1", 32768)),
        ({"8080/tcp": EVERYWHERE}, REMOTE, None, ("build.example", 32768)),
        ({"8080/tcp": _bound(("::", 1))}, LOCAL, None, ("::1", 1)),
        ({"8080/tcp": _bound(("fd00::1", 1), ("10.0.0.7", 2))}, LOCAL, None, ("10.0.0.7", 2)),
        ({"8080/tcp": _bound(("", 5))}, LOCAL, None, ("127.0.0.1", 5)),
        ({"80/tcp": _bound(("", 1)), "8080/tcp": _bound(("", 2))}, LOCAL, None, ("127.0.0.1", 2)),
        ({"80/tcp": _bound(("", 1)), "8080/tcp": _bound(("", 2))}, LOCAL, 1, ("127.0.0.1", 2)),
        ({"80/tcp": _bound(("", 1)), "5000/tcp": _bound(("", 2))}, LOCAL, 2, ("127.0.0.1", 2)),
        ({"5000/tcp": _bound(("", 2)), "8080/tcp": None}, LOCAL, None, ("127.0.0.1", 2)),
        ({"8080/udp": _bound(("", 9)), "8080/tcp": _bound(("", 2))}, LOCAL, None, ("127.0.0.1", 2)),
    ],
)
def test_a_published_port_is_found(ports: dict[str, Any], engine: Engine, hint: int | None, expected: tuple[str, int]):
    assert address(_found(ports), "bridge", 8080, engine, "pre", hint)[:2] == expected


@pytest.mark.parametrize("address_of", [{"IPAddress": "172.17.0.2"}, {"IPAddress": "", "GlobalIPv6Address": "fd00::2"}])
def test_a_port_that_is_not_published_is_reached_at_the_containers_own_address(address_of: dict[str, str]):
    found = _found({"8080/tcp": None}, **address_of)

    assert address(found, "bridge", 8080, LOCAL, "pre", None)[:2] == (next(filter(None, address_of.values())), 8080)


def test_the_network_of_the_machine_is_understood():
    assert address(_found({}), "host", 9191, LOCAL, "pre", None)[:2] == ("127.0.0.1", 9191)
    assert address(_found({}), "host", 8080, REMOTE, "pre", None)[:2] == ("build.example", 8080)


@pytest.mark.parametrize(
    ("found", "mode", "engine", "why"),
    [
        (_found({"8080/tcp": None}, IPAddress="172.17.0.2"), "bridge", DESKTOP, "no route to the containers"),
        (_found({}), "none", LOCAL, "it has no network"),
        (
            _found({"80/tcp": _bound(("", 1)), "81/tcp": _bound(("", 2))}, IPAddress="172.17.0.2"),
            "bridge",
            REMOTE,
            "published: 80 -> 1, 81 -> 2",
        ),
    ],
)
def test_a_container_that_cannot_be_reached_is_explained(found: dict[str, Any], mode: str, engine: Engine, why: str):
    with pytest.raises(NotReachable, match=why) as caught:
        address(found, mode, 8080, engine, "pre", None)

    assert "-p 127.0.0.1::8080" in caught.value.next_step


@pytest.mark.parametrize(
    ("environment", "port"),
    [
        ([], 8080),
        (["SAGEMAKER_BIND_TO_PORT=9191"], 9191),
        (["SAGEMAKER_BIND_TO_PORT="], 8080),
        (["X=1", "SAGEMAKER_BIND_TO_PORT=no"], 8080),
    ],
)
def test_the_containers_port_is_what_it_was_told(environment: list[str], port: int):
    assert port_of(_found({}, environment)) == port
