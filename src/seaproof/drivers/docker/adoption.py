"""Containers that somebody else started: found by their exact name, with the address at which they answer.

    published on this machine   host and port of the binding, IPv4 before IPv6
    --network host              the container's own port
    not published               the container's own address, where this machine has a route to it

The port is 8080, or what the container itself was told in SAGEMAKER_BIND_TO_PORT. Nothing is started or stopped here.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from seaproof.contract.environ import BIND_TO_PORT, DEFAULT_PORT
from seaproof.drivers.docker.engine import Engine, find_engine, speaking
from seaproof.drivers.driver import Exit
from seaproof.errors import DriverError

_PATIENCE = 10
"""Seconds for one answer of the engine: it is asked while a request waits."""


class NotRunning(DriverError):
    """There is no running container of this name."""


class NotReachable(DriverError):
    """It runs, and nothing here can connect to it."""


@dataclass(frozen=True)
class Running:
    """One container that runs."""

    name: str
    id: str
    start: str
    """When it was started, as the engine writes it; another start has another one."""
    host: str
    port: int
    how: str
    """Where the address comes from, for people."""


class Finder:
    """Looks containers up in one engine; DriverUnavailable where none answers."""

    def __init__(self) -> None:
        self._engine = find_engine()
        self._client = self._engine.client(_PATIENCE)

    def find(self, name: str, hint: int | None = None) -> Running:
        """The running container of exactly this name; `hint` is a port of this machine to prefer among several.

        NotRunning, NotReachable, or DriverError where the engine does not answer.
        """
        found = self._inspect(name)
        state = found["State"]
        if not state.get("Running"):
            raise NotRunning(
                f"container {name} is not running: {state['Status']}, exit code {state.get('ExitCode')}",
                next_step=f"Start it: docker start {name}; why it ended: docker logs {name}",
            )
        if state.get("Paused"):
            raise NotRunning(f"container {name} is paused", next_step=f"Let it go on: docker unpause {name}")
        network = found
        mode = str(found["HostConfig"].get("NetworkMode", ""))
        if mode.startswith("container:"):
            with speaking(f"the network of {name} could not be looked up"):
                network = self._client.inspect_container(mode.partition(":")[2])
            mode = str(network["HostConfig"].get("NetworkMode", ""))
        host, port, how = address(network, mode, port_of(found), self._engine, name, hint)
        return Running(name, found["Id"], state["StartedAt"], host, port, how)

    def last_lines(self, id: str, count: int) -> str:
        """The end of its log; "" where it cannot be read (some log drivers keep none)."""
        with suppress(DriverError), speaking("its log cannot be read"):
            data: bytes = self._client.logs(id, tail=count)
            return data.decode("utf-8", "replace")
        return ""

    def ended(self, id: str) -> Exit | None:
        """How it ended; None while it runs, or where nothing is known of it."""
        with suppress(DriverError), speaking("it cannot be looked up"):
            state = self._client.inspect_container(id)["State"]
            if not state.get("Running"):
                return Exit(int(state.get("ExitCode", 0)), bool(state.get("OOMKilled")))
        return None

    def close(self) -> None:
        """Close the connection to the engine."""
        self._client.close()

    def _inspect(self, name: str) -> dict[str, Any]:
        import docker.errors

        with speaking(f"container {name} could not be looked up"):
            with suppress(docker.errors.NotFound):
                found: dict[str, Any] = self._client.inspect_container(name)
                # An engine also takes the beginning of an id for a name.
                if found["Name"] == f"/{name}":
                    return found
            names = sorted(each.removeprefix("/") for c in self._client.containers() for each in c["Names"])
        similar = [each for each in names if name in each or each in name]
        running = f"running are: {', '.join(similar or names)}" if names else "none runs at all"
        raise NotRunning(
            f"there is no container by the name {name}; {running}",
            next_step=f"Start it: docker run --name {name} -p 127.0.0.1::8080 IMAGE serve; "
            "or give it an image or a folder in the configuration.",
        )


def port_of(found: Mapping[str, Any]) -> int:
    """The port that the program in the container listens on, by the contract."""
    for entry in found["Config"].get("Env") or []:
        name, _, value = entry.partition("=")
        if name == BIND_TO_PORT and value.strip().isdigit():
            return int(value)
    return DEFAULT_PORT


def address(
    found: Mapping[str, Any], mode: str, port: int, engine: Engine, name: str, hint: int | None
) -> tuple[str, int, str]:
    """Where the container's port is reached from here: host, port, and how. NotReachable says why not."""
    if mode == "host":
        return _engine_host(engine), port, "it shares the machine's network"
    ports = found["NetworkSettings"].get("Ports") or {}
    published = {int(key.partition("/")[0]): bound for key, bound in ports.items() if bound and key.endswith("/tcp")}
    inner = _published_port(published, port, hint)
    if inner is not None:
        host, outer = _binding(published[inner], engine)
        note = "" if inner == port else f"; SageMaker would connect to its port {port}"
        return host, outer, f"published: {inner} -> {outer}{note}"
    networks = found["NetworkSettings"].get("Networks") or {}
    own = [a for n in networks.values() for a in (n.get("IPAddress"), n.get("GlobalIPv6Address")) if a]
    if own and engine.reaches_containers:
        return own[0], port, f"port {port} is not published; the container's own address"
    shown = ", ".join(f"{inner} -> {_binding(bound, engine)[1]}" for inner, bound in published.items()) or "none"
    why = "it has no network" if mode == "none" else f"this machine has no route to the containers of {engine.name}"
    raise NotReachable(
        f"port {port} of container {name} is not published (published: {shown}), and {why}",
        next_step=f"Start it with `-p 127.0.0.1::{port}`; where its program listens on another port, "
        f"say so to the container: -e {BIND_TO_PORT}=PORT.",
    )


def _published_port(published: Mapping[int, Any], port: int, hint: int | None) -> int | None:
    """Which of the container's ports: the contract's; the one the configuration means; the only one there is."""
    if port in published:
        return port
    for inner, bound in published.items():
        if hint is not None and any(int(each["HostPort"]) == hint for each in bound):
            return inner
    return next(iter(published)) if len(published) == 1 else None


def _binding(bound: list[dict[str, str]], engine: Engine) -> tuple[str, int]:
    """Host and port of one of several bindings, IPv4 first."""
    chosen = min(bound, key=lambda each: ":" in each.get("HostIp", ""))
    given = chosen.get("HostIp", "")
    host = {"": _engine_host(engine), "0.0.0.0": _engine_host(engine), "::": "::1"}.get(given, given)
    return host, int(chosen["HostPort"])


def _engine_host(engine: Engine) -> str:
    """The machine that the engine runs on, as seen from here."""
    parts = urlsplit(engine.address)
    return parts.hostname or "127.0.0.1" if parts.scheme in ("tcp", "http", "https", "ssh") else "127.0.0.1"
