"""Passes a request on to the process of a model, and its answer back, piece by piece where it comes so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

from seaproof.contract import http
from seaproof.http.client import Client
from seaproof.http.message import Headers, Request, Response
from seaproof.serving.orders import Process

# What belongs to one connection and not to the request or its answer.
_OF_THE_CONNECTION = frozenset(
    (b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"host", b"expect", b"te", b"upgrade")
)


async def relay(client: Client, process: Process, request: Request, timeout: float) -> Response:
    """The answer of the process, by the worker that has least to do; HttpError where there is none within `timeout`
    seconds."""
    socket = min(process.busy, key=process.busy.__getitem__)
    process.busy[socket] += 1
    try:
        reply = await client.stream(
            socket, 0, "POST", http.INVOCATIONS, _kept(request.headers), request.body, timeout=timeout
        )
        if reply.header(b"transfer-encoding"):
            # Itself, and no generator around it: one that is closed before its first step would not close the reply.
            return Response(reply.status, _kept(reply.headers), cast("AsyncIterator[bytes]", reply))
        parts = [part async for part in reply]
        return Response(reply.status, _kept(reply.headers), parts[0] if len(parts) == 1 else b"".join(parts))
    finally:
        process.busy[socket] -= 1


def _kept(headers: Headers) -> Headers:
    return [(name, value) for name, value in headers if name not in _OF_THE_CONNECTION]
