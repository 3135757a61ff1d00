"""Networks of containers: one per group of peers, one per isolated server; gone with the last container in it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from seaproof.drivers.driver import Workload

PROJECT, WORKLOAD, NETWORK, PORT, HOST_PORT = (
    "seaproof.project",
    "seaproof.workload",
    "seaproof.network",
    "seaproof.port",
    "seaproof.host-port",
)
_lock = threading.Lock()


@dataclass(frozen=True)
class Plan:
    """How a workload is connected."""

    mode: str
    """`none`, the default `bridge`, or the name of a network of ours."""
    ours: bool = False
    internal: bool = False
    """No way out; ports are not published, so the container is reached at its own address."""
    publish: bool = False


def plan(workload: Workload, prefix: str) -> Plan:
    """Decide from isolation, peers and port. `prefix` keeps projects apart."""
    if workload.isolated:
        if workload.network is None and workload.port is None:
            return Plan("none")
        name = workload.network or workload.name
        return Plan(f"{prefix}-{name}-isolated", ours=True, internal=True)
    publish = workload.port is not None
    if workload.network is not None:
        return Plan(f"{prefix}-{workload.network}", ours=True, publish=publish)
    return Plan("bridge", publish=publish)


def ensure(client: Any, chosen: Plan, project: str) -> None:
    """Make the network, unless it is there."""
    if not chosen.ours:
        return
    with _lock:
        if any(found["Name"] == chosen.mode for found in client.networks(names=[chosen.mode])):
            return
        client.create_network(
            chosen.mode, driver="bridge", internal=chosen.internal, check_duplicate=True, labels={PROJECT: project}
        )


def remove_if_empty(client: Any, name: str) -> None:
    """Remove a network of ours once nothing is attached to it."""
    import docker.errors

    if not name:
        return
    with _lock:
        try:
            # Containers that have ended are not shown by the network but may still be started by nobody but us.
            if not client.inspect_network(name).get("Containers"):
                client.remove_network(name)
        except docker.errors.APIError:
            return  # gone already, or taken again in between


def address(attached: dict[str, Any], name: str) -> str | None:
    """The container's address in this network; None once it has ended."""
    found = (attached.get("NetworkSettings", {}).get("Networks") or {}).get(name) or {}
    return found.get("IPAddress") or None
