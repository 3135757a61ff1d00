"""Echo on the protocol itself, in so many processes that share one port.

python echo_server.py PORT WORKERS
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

from seaproof.http.message import Request, Response
from seaproof.http.server import run, serve


def echo(request: Request) -> Response:
    """The reply is the request."""
    return Response(200, [(b"content-type", request.header(b"content-type", "text/plain").encode())], request.body)


async def main(listening: socket.socket) -> None:
    """Serve until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    server = await serve(echo, sock=listening)
    await ended.wait()
    await server.close()


def start(port: int, workers: int) -> None:
    """Fork the further workers; each has a socket of its own, and the kernel shares out the connections."""
    children = []
    for _ in range(workers - 1):
        pid = os.fork()
        if pid == 0:
            children = []
            break
        children.append(pid)
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind(("127.0.0.1", port))
    run(main(listening))
    for pid in children:
        os.kill(pid, signal.SIGTERM)


if __name__ == "__main__":
    start(int(sys.argv[1]), int(sys.argv[2]))
