"""A minimal client that calls containers one after another, each with the reply of the one before: no gateway at all.

    python benchmarks/direct_chain.py CONNECTIONS SECONDS BODY PORT...     prints JSON: requests_per_second, p50 (ms)

Raw sockets on epoll, one connection to each container for each request under way, replies with Content-Length only.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from pathlib import Path
from statistics import median

HEAD = b"POST /invocations HTTP/1.1\r\nHost: c\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n\r\n"


class Lane:
    """One request at a time through all containers."""

    def __init__(self, ports: list[int], body: bytes) -> None:
        self.sockets = [socket.create_connection(("127.0.0.1", port)) for port in ports]
        for each in self.sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.body = body
        self.times: list[float] = []

    def begin(self) -> None:
        self.began = time.perf_counter()
        self.send(0, self.body)

    def send(self, step: int, body: bytes) -> None:
        self.step, self.came, self.wanted = step, bytearray(), 0
        self.sockets[step].sendall(HEAD % len(body) + body)

    def read(self) -> None:
        """Take what came; the next container's turn, or the next request's."""
        self.came += self.sockets[self.step].recv(1 << 20)
        if not self.wanted:
            end = self.came.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self.came.startswith(b"HTTP/1.1 200 "):
                sys.exit(f"a container answers {bytes(self.came[:200])!r}")
            at = self.came.index(b"ontent-Length: ") + 15
            self.head = end + 4
            self.wanted = self.head + int(self.came[at : self.came.index(b"\r", at)])
        if len(self.came) < self.wanted:
            return
        if self.step + 1 < len(self.sockets):
            self.send(self.step + 1, bytes(self.came[self.head :]))
        else:
            self.times.append(time.perf_counter() - self.began)
            self.begin()


def main() -> None:
    """Load, then print what was found."""
    connections, seconds, body = int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]).read_bytes()
    lanes = [Lane([int(port) for port in sys.argv[4:]], body) for _ in range(connections)]
    selector = selectors.DefaultSelector()
    for lane in lanes:
        for each in lane.sockets:
            selector.register(each, selectors.EVENT_READ, lane)
        lane.begin()
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        for key, _ in selector.select(1.0):
            key.data.read()
    took = time.perf_counter() - began
    times = [each for lane in lanes for each in lane.times]
    print(json.dumps({"requests_per_second": len(times) / took, "p50": median(times) * 1000}))


if __name__ == "__main__":
    main()
