"""A gateway in front of containers that are real HTTP servers, all on one event loop in a thread."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from seaproof.drivers.driver import Exit
from seaproof.gateway.app import Gateway, Manner, Report
from seaproof.gateway.passage import LARGEST
from seaproof.gateway.seats import Place, Seat
from seaproof.http.limits import ServerLimits
from seaproof.http.message import Request, Response
from seaproof.http.server import Server, serve
from seaproof.inference_pipeline import PipelineContainer
from seaproof.invocations.send import new_client
from seaproof.settings import Settings

Answer = Callable[[Request], "Response | Awaitable[Response]"]


def reply(body: bytes = b"", kind: str = "application/json", status: int = 200) -> Response:
    return Response(status, [(b"Content-Type", kind.encode())] if kind else [], body)


def echo(request: Request) -> Response:
    return reply(request.body, request.header(b"content-type"))


@dataclass
class Container:
    """One container: its program, and what it was asked."""

    name: str
    invoke: Answer = echo
    multi: bool = False
    load: Answer = lambda request: reply(b"{}")
    log: str = ""
    exit: Exit | None = None
    room: int = 1000
    """Models; beyond it a load is 507."""
    asked: list[Request] = field(default_factory=list)
    """What it was asked, pings and lists left out."""
    looked_for: list[str] = field(default_factory=list)
    loaded: set[str] = field(default_factory=set)
    needs_load: bool = True
    memory: int = 0
    """Bytes that it tells of each model, where it tells any."""
    streams: bool = False
    """Whether bodies come to it as streams."""
    server: Server | None = None
    moves_to: Container | None = None
    seat: Seat | None = None

    def handle(self, request: Request) -> Response:
        if request.path == "/ping":
            return reply()
        if request.method == "GET" and request.path != "/models":
            self.looked_for.append(request.path)
            described = json.dumps({"workers": [{"memoryUsage": self.memory}]}).encode() if self.memory else b""
            return reply(described, status=200 if request.path.rpartition("/")[2] in self.loaded else 404)
        if request.method == "GET":
            return reply(json.dumps({"models": [{"modelName": name} for name in self.loaded]}).encode())
        self.asked.append(request)
        if request.method == "DELETE":
            self.loaded.discard(request.path.rpartition("/")[2])
            return reply()
        if request.path == "/models":
            answer = self.load(request) if len(self.loaded) < self.room else reply(b"no room", "text/plain", 507)
            if answer.status == 200:
                self.loaded.add(json.loads(request.body)["model_name"])
            return answer
        if self.multi and self.needs_load and request.path.split("/")[2] not in self.loaded:
            return reply(b'{"error": "not loaded"}', status=404)
        return self.invoke(request)

    def takes_stream(self, request: Request) -> bool:
        return self.streams and request.path != "/models"

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.asked]

    # What a keeper does for its seat.

    def plan(self) -> str:
        return self.name

    def open(self) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Nothing to close."""

    def look(self) -> None:
        if self.moves_to and self.moves_to.server and self.seat:
            self.seat.filled(Place("127.0.0.1", self.moves_to.server.port, "second"))

    def last_lines(self, since: float) -> str:
        return self.log

    def ended(self, since: float) -> Exit | None:
        return self.exit


@dataclass
class Got:
    """One answer of the gateway."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Front:
    """The gateway as its callers see it."""

    port: int
    seats: list[Seat]
    reports: list[Report]
    stop: Callable[[Container], None]

    def send(self, method: str, target: str, body: bytes = b"", **headers: str) -> Got:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            shown = {name.lower(): value for name, value in answer.getheaders()}
            return Got(answer.status, shown, answer.read())
        finally:
            connection.close()

    def post(self, query: str = "", body: bytes = b"{}", **headers: str) -> Got:
        return self.send("POST", f"/pipeline{query}", body, **headers)


@contextmanager
def gateway(
    *containers: Container,
    replies: str = "last",
    hazal: bool = False,
    hazal_headers: bool = False,
    settings: Settings = Settings(invocation_timeout=5.0),  # noqa: B008 - frozen
) -> Iterator[Front]:
    """A gateway in front of these containers; one with `server` None after `stop` listens no more."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def on_loop(made: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(made, loop).result(20)

    reports: list[Report] = []
    limits = ServerLimits(body_bytes=LARGEST)
    every = [*containers, *(c.moves_to for c in containers if c.moves_to)]

    async def start() -> tuple[Gateway, Server, Any]:
        for container in every:
            container.server = await serve(container.handle, limits=limits, stream_bodies=container.takes_stream)
        seats = []
        for container in containers:
            assert container.server is not None
            container.seat = Seat(PipelineContainer(container.name, multi=container.multi))
            container.seat.filled(Place("127.0.0.1", container.server.port, "first"))
            container.seat.keeper = container
            seats.append(container.seat)
        client = new_client()
        manner = Manner("containers.jdn", replies, hazal, hazal_headers)
        front = Gateway(seats, client, settings, manner, reports.append)
        return front, await serve(front.handle, limits=limits, stream_bodies=front.takes_stream), client

    def stop(container: Container) -> None:
        if container.server is not None:
            on_loop(container.server.close())
            container.server = None

    made, server, client = on_loop(start())
    try:
        yield Front(server.port, [c.seat for c in containers if c.seat], reports, stop)
    finally:
        made.close()
        on_loop(server.close())
        for container in every:
            stop(container)
        on_loop(client.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
