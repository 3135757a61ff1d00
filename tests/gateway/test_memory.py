"""What a gateway holds of large bodies: it grows with the requests under way, and not with the steps."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline_process import pipeline

from seaproof.http.client import Client
from seaproof.http.limits import ServerLimits
from seaproof.http.message import Request, Response
from seaproof.http.server import Server, serve
from seaproof.invocations.send import Sender

BODY = b"0.123456," * 116_509
AT_ONCE, REQUESTS = 16, 96


@contextmanager
def an_echo() -> Iterator[int]:
    """A container that gives every body back; its port."""

    def handle(request: Request) -> Response:
        return Response(200, [(b"Content-Type", b"text/csv")], request.body)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> Server:
        return await serve(handle, limits=ServerLimits(body_bytes=2 * len(BODY)))

    server = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield server.port
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _load(port: int) -> int:
    """So many requests, so many at once; the answers that gave the body back."""

    async def one(client: Client, left: list[int]) -> int:
        good = 0
        while left:
            left.pop()
            reply = await client.request("127.0.0.1", port, "POST", "/pipeline", [], BODY, timeout=60)
            good += reply.status == 200 and reply.body == BODY
        return good

    async def run(client: Client) -> int:
        left = list(range(REQUESTS))
        return sum(await asyncio.gather(*(one(client, left) for _ in range(AT_ONCE))))

    sender = Sender()
    try:
        return sender.run(run)
    finally:
        sender.close()


def _peak(folder: Path, steps: int, port: int) -> int:
    """Bytes that the gateway's memory grew by at most, under that load."""
    folder.mkdir()
    entries = [{"container": f"echo-{number}", "port": port} for number in range(steps)]
    (folder / "containers.json").write_text(json.dumps(entries))
    with pipeline(folder, "--quiet") as front:
        status = Path(f"/proc/{front.process.pid}/status")
        before = _kib(status, "VmRSS")
        good = _load(int(front.url.split(":")[2].split("/")[0]))
        after = _kib(status, "VmHWM")
    assert good == REQUESTS
    return (after - before) * 1024


def _kib(status: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(f"{name}:"))


def test_bodies_are_let_go_step_by_step(tmp_path: Path):
    with an_echo() as port:
        two, eight = _peak(tmp_path / "two", 2, port), _peak(tmp_path / "eight", 8, port)

    # Six more steps that kept their bodies would be 6 * AT_ONCE of them.
    assert eight < two + AT_ONCE * len(BODY)
    assert eight < 5 * AT_ONCE * len(BODY)
