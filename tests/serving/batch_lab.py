"""A container whose predictions wait for a word, and many requests at once for it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from container_process import Container, Reply, reply_on, soon

GATED = """
import os, pathlib, time
import numpy as np

here = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
seen = []

def predict_fn(data, model):
    seen.append(len(data))
    (here / "seen.part").write_text(repr(seen))
    (here / "seen.part").rename(here / "seen")
    while not (here / "open").exists():
        time.sleep(0.005)
    rows = np.asarray(data)
    if (rows == 13).any():
        raise ValueError("thirteen")
    return rows.sum(axis=1)
"""
"""Each call of predict_fn notes its rows and waits until the gate is open; 13 is refused."""


@dataclass
class Gated:
    """A container, and what happens in it while its gate is shut."""

    container: Container
    pool: ThreadPoolExecutor

    def send(self, bodies: Sequence[str], content_type: str = "text/csv") -> list[Future[Reply]]:
        """Send these, each on its own connection, and return when the server has read them all."""
        sent = [self.container.ask(body, content_type, Accept="text/csv") for body in bodies]
        # What comes later is answered later: by then the server has read what was there.
        for _ in range(2):
            assert self.container.get("/ping").status == 200
        return [self.pool.submit(reply_on, connection) for connection in sent]

    def send_at_once(self, bodies: Sequence[str]) -> list[Future[Reply]]:
        """Send these so that the server finds them all in one look, however slow this machine is."""
        with self.container.standing_still():
            sent = [self.container.ask(body, Accept="text/csv") for body in bodies]
        return [self.pool.submit(reply_on, connection) for connection in sent]

    def send_first(self, body: str) -> Future[Reply]:
        """Send one, and return when it is being predicted."""
        (sent,) = self.send([body])
        soon(lambda: self.seen)
        return sent

    @property
    def seen(self) -> list[int]:
        """How many rows each call of predict_fn was given."""
        path = self.container.root / "ml" / "seen"
        rows: list[int] = json.loads(path.read_text()) if path.exists() else []
        return rows

    def open(self) -> None:
        """Let predictions go on."""
        (self.container.root / "ml" / "open").touch()


@contextmanager
def gated(container: Container, script: str = "batch = True\n" + GATED, **environment: str) -> Iterator[Gated]:
    """The container with its gate shut; opened at the end, for those that still wait."""
    with ThreadPoolExecutor(40) as pool:
        lab = Gated(container.serve(script, **environment), pool)
        try:
            yield lab
        finally:
            lab.open()


def half_open(port: int, parts: Sequence[bytes]) -> list[socket.socket]:
    """A connection for each part, on which it and nothing more is sent."""
    opened = []
    for part in parts:
        connection = socket.create_connection(("127.0.0.1", port), timeout=20)
        connection.sendall(part)
        opened.append(connection)
    return opened


async def converse(
    port: int, requests: Sequence[tuple[bytes, str, str]]
) -> list[tuple[int, bytes]]:  # body, content type, accept
    """Send requests one after another on one connection; status and body of each."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    replies = []
    try:
        for body, content_type, accept in requests:
            head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\nAccept: {accept}\r\n"
            writer.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
            lines = answer.split(b"\r\n")
            length = next(int(line[15:]) for line in lines if line.lower().startswith(b"content-length:"))
            replies.append((int(lines[0].split()[1]), await reader.readexactly(length)))
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return replies


def value(reply: Reply) -> Any:
    """The one number of a reply."""
    return json.loads(reply.body)
