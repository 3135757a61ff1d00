"""What a gateway holds of large bodies: it grows with the requests under way, not with the steps or the bodies."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline_process import pipeline

from seaproof.http.client import Client
from seaproof.http.limits import ServerLimits
from seaproof.http.message import Request, Response
from seaproof.http.server import Server, serve
from seaproof.invocations.send import Sender

BODY = b"0.123456," * 116_509
AT_ONCE, REQUESTS = 16, 96


@contextmanager
def an_echo(*, while_it_comes: bool = False) -> Iterator[int]:
    """A container that gives every body back, whole or while it comes; its port."""

    def handle(request: Request) -> Response:
        headers = [
            (b"Content-Type", b"text/csv"),
            (b"Content-Length", (request.header(b"content-length") or "0").encode()),
        ]
        return Response(200, headers, request.body if request.stream is None else request.stream)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> Server:
        return await serve(handle, limits=ServerLimits(body_bytes=100 * len(BODY)), stream_bodies=while_it_comes)

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

    return _on_a_client(run)


def _through(port: int, times: int) -> int:
    """One request whose body is so many times `BODY`; how many bytes came back as they were."""

    async def body() -> AsyncIterator[bytes]:
        for _ in range(times):
            yield BODY

    async def run(client: Client) -> int:
        length = [(b"Content-Length", b"%d" % (times * len(BODY)))]
        reply = await client.stream("127.0.0.1", port, "POST", "/pipeline", length, body(), timeout=60)
        assert reply.status == 200
        good, at = 0, 0
        async for part in reply:
            good += len(part) * (part == (BODY + BODY)[at : at + len(part)])
            at = (at + len(part)) % len(BODY)
        return good

    return _on_a_client(run)


def _on_a_client(run: Callable[[Client], Coroutine[Any, Any, int]]) -> int:
    sender = Sender()
    try:
        return sender.run(run)
    finally:
        sender.close()


def _peak(folder: Path, steps: int, port: int, send: Callable[[int], int], expected: int) -> int:
    """Bytes that the gateway's memory grew by at most, under that load."""
    folder.mkdir()
    entries = [{"container": f"echo-{number}", "port": port} for number in range(steps)]
    (folder / "containers.json").write_text(json.dumps(entries))
    with pipeline(folder, "--quiet") as front:
        status = Path(f"/proc/{front.process.pid}/status")
        before = _kib(status, "VmRSS")
        good = send(int(front.url.split(":")[2].split("/")[0]))
        after = _kib(status, "VmHWM")
    assert good == expected
    return (after - before) * 1024


def _kib(status: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(f"{name}:"))


def test_bodies_are_let_go_step_by_step(tmp_path: Path):
    with an_echo() as port:
        two = _peak(tmp_path / "two", 2, port, _load, REQUESTS)
        eight = _peak(tmp_path / "eight", 8, port, _load, REQUESTS)

    # Six more steps that kept their bodies would be 6 * AT_ONCE of them.
    assert eight < two + AT_ONCE * len(BODY)
    assert eight < 3 * AT_ONCE * len(BODY)


def test_a_body_of_50_mb_through_three_steps_costs_no_more_memory_than_one_of_5(tmp_path: Path):
    small, large = 5 * len(BODY), 50 * len(BODY)
    with an_echo(while_it_comes=True) as port:
        five = _peak(tmp_path / "five", 3, port, lambda gateway: _through(gateway, 5), small)
        fifty = _peak(tmp_path / "fifty", 3, port, lambda gateway: _through(gateway, 50), large)

    # Held whole at every step, it would be 150 of them.
    assert fifty < five + 8 * len(BODY)
    assert fifty < 12 * len(BODY)
