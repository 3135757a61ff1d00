"""The listening sockets: one for each worker, all on one port.

SO_REUSEPORT lets the kernel deal connections out evenly; workers that accept from one shared socket do not, for the
first to wake takes all that wait. The master makes the sockets and keeps them: those who connected to a worker that
died are served by its successor.
"""

from __future__ import annotations

import errno
import os
import socket

from seaproof.errors import ContractError

BACKLOG = 2048


def bind(port: int, count: int) -> list[socket.socket]:
    """Bind `count` sockets to the port on all interfaces, IPv6 and IPv4; none listens yet.

    ContractError where the port is taken or not allowed.
    """
    try:
        # Alone first: with SO_REUSEPORT, another container's workers on this port would share it silently.
        _bound(port, shared=False).close()
        if os.uname().sysname == "Linux":
            return [_bound(port, shared=True) for _ in range(count)]
        # Elsewhere SO_REUSEPORT gives all connections to one socket; there the workers share it instead.
        return [_bound(port, shared=False)] * count
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        raise ContractError(
            f"port {port} is in use by another program" if taken else f"port {port} cannot be used: {error.strerror}",
            where="SAGEMAKER_BIND_TO_PORT",
            next_step="Stop that program, or set SAGEMAKER_BIND_TO_PORT to a free port."
            if taken
            else "Set SAGEMAKER_BIND_TO_PORT to another port.",
        ) from error


def _bound(port: int, *, shared: bool) -> socket.socket:
    """One socket on all interfaces: `::` takes IPv4 as well; plain IPv4 where the machine has no IPv6."""
    try:
        listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    except OSError:
        return _bind(socket.socket(socket.AF_INET, socket.SOCK_STREAM), "0.0.0.0", port, shared)
    try:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        return _bind(listener, "::", port, shared)
    except OSError as error:
        listener.close()
        if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise
    return _bind(socket.socket(socket.AF_INET, socket.SOCK_STREAM), "0.0.0.0", port, shared)


def _bind(listener: socket.socket, host: str, port: int, shared: bool) -> socket.socket:
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
