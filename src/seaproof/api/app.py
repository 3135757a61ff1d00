"""The local server's routes: the runtime's hot path, the control plane's one door, and the tool's own few.

    POST /endpoints/{name}/...            the runtime; answered on the event loop, see `runtime`
    POST /  with X-Amz-Target             the control plane; each operation runs in a thread
    whatever is signed for S3, ...        the neighbours; see `api.neighbours`
    GET  /ping                            200 while it lives
    GET  /metrics                         invocations, for Prometheus
    /_seaproof/...                        health, logs, events, models, shadows, shutdown: for the command line
    GET  /  from a browser                what is here, as pages (`seaproof.dashboard`); programs get the routes

A page in a browser must not reach it: the Host header has to name this machine (DNS rebinding), and a request that
carries an Origin of somewhere else is refused.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

from seaproof import __version__
from seaproof.api import operations, runtime, wire
from seaproof.api.access import make_guard
from seaproof.api.client import Client
from seaproof.api.neighbours import BUCKET_HOST, Neighbours, service_of
from seaproof.api.runtime import Runtime
from seaproof.control import logs, multi_model, shadows
from seaproof.control.containers import KIND as ENDPOINT
from seaproof.control.outcomes import Outcomes
from seaproof.control.plane import Plane
from seaproof.control.recovery import delete_settled, resume
from seaproof.errors import SeaproofError, ServiceError
from seaproof.http.later import Later
from seaproof.http.message import Headers, Request, Response

log = logging.getLogger("seaproof.api")

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
ABOUT = {
    "what": f"seaproof {__version__}: the SageMaker API of one project, on this machine",
    "routes": {
        "POST /": "operations of SageMaker, as SDKs send them: boto3.client('sagemaker', endpoint_url=...)",
        "POST /endpoints/NAME/invocations": "InvokeEndpoint: boto3.client('sagemaker-runtime', endpoint_url=...)",
        "POST /endpoints/NAME/invocations-response-stream": "InvokeEndpointWithResponseStream",
        "POST /endpoints/NAME/async-invocations": "InvokeEndpointAsync",
        "GET /ping": "200 while this server lives",
        "GET /metrics": "counts and times of invocations, for Prometheus",
    },
    "next_step": "`seaproof --help` lists the commands that talk to this server.",
}
"""What a browser, or whoever tries an address that is not there, is shown."""
CONTROL_THREADS = 8
PAGES = "/_seaproof/pages/"
PAGE_THREADS = 2
Pages = Callable[[Client, str, str], tuple[int, str]]
"""A page for eyes: of what a client of this server sees, at a path and a query; its status and the document."""
_PAGE_HEADERS: Headers = [
    (b"Content-Type", b"text/html; charset=utf-8"),
    (b"Content-Security-Policy", b"default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
    (b"Cache-Control", b"no-store"),
]


class Application:
    """The handler of one coordinator; lives on its event loop."""

    def __init__(self, plane: Plane, url: str, shutdown: Callable[[], None], pages: Pages | None = None) -> None:
        self._plane = plane
        self._pages = pages
        self.url = url
        self._shutdown = shutdown
        self._outcomes = Outcomes(plane)
        self.neighbours = Neighbours(plane)
        self._runtime = Runtime(plane, self._outcomes, self.neighbours.publish)
        self._threads = ThreadPoolExecutor(CONTROL_THREADS, thread_name_prefix="control")
        # Of their own: a page waits for operations, which need threads as well.
        self._page_threads = ThreadPoolExecutor(PAGE_THREADS, thread_name_prefix="pages")
        self._hosts = {*LOCAL_NAMES, plane.settings.host}
        self.guard = make_guard(plane.settings, plane.folder)
        """Asks who calls, where others than this machine can."""
        self.stays = True
        """Whether it goes on when nothing runs and no command holds it."""
        self.holds = 0
        """Commands that rely on this coordinator now; each keeps a connection open."""
        self.was_held = False
        self.ending = False
        self._own: dict[tuple[str, str], Callable[[dict[str, str]], Response | Awaitable[Response]]] = {
            ("GET", "/_seaproof/health"): self._health,
            ("GET", "/_seaproof/logs"): self._logs,
            ("GET", "/_seaproof/log-streams"): self._log_streams,
            ("GET", "/_seaproof/events"): self._events,
            ("GET", "/_seaproof/hold"): self._hold,
            ("POST", "/_seaproof/stay"): self._stay,
            ("GET", "/_seaproof/models"): self._models,
            ("GET", "/_seaproof/shadows"): self._shadows,
            ("POST", "/_seaproof/shutdown"): self._stop,
        }

    def end(self) -> None:
        """Begin to end: from now on no command is told that it can rely on this coordinator."""
        self.ending = True
        self._shutdown()

    async def close(self) -> None:
        """Wait for operations under way, close connections to containers."""
        self._page_threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)
        await self.neighbours.close()
        await self._runtime.close()

    def handle(self, request: Request) -> Response | Later | Awaitable[Response]:
        """One request of any kind."""
        refused = self._refuse_strangers(request)
        if refused is not None:
            return refused
        path = request.path
        if path.startswith(runtime.PREFIX) and (answer := self._runtime.handle(request)) is not None:
            return answer
        neighbour = self.neighbours.handler(request)
        if neighbour is not None:
            return neighbour(request)
        if (
            self._pages
            and request.method == "GET"
            and (path.startswith(PAGES) or (path == "/" and _is_browser(request)))
        ):
            return self._page(self._pages, request)
        if path == "/":
            return self._root(request)
        if path == "/ping":
            return wire.plain(200, {"status": "ok"})
        if path == "/metrics" and request.method == "GET":
            return self._outcomes.metrics.response()
        own = self._own.get((request.method, path))
        if own is not None:
            return self._answer_own(own, request)
        if path.startswith(runtime.PREFIX) and path.count("/") == 3:
            return wire.runtime_error(operations.absent_runtime(path))
        if service_of(request):
            return wire.runtime_error(operations.absent_path(request.method, path))
        return wire.plain(404, {"error": f"nothing answers {request.method} {path}", **ABOUT})

    def takes_stream(self, request: Request) -> bool:
        """Whether the body of this request goes to its handler as a stream."""
        if request.path.startswith(runtime.PREFIX):
            # Where callers sign, what they sign is the whole body.
            return self.guard is None and self._runtime.takes_stream(request)
        return self.neighbours.takes_stream(request)

    def _root(self, request: Request) -> Response | Awaitable[Response]:
        if request.method == "POST":
            return self._operate(request)
        return wire.plain(200, ABOUT) if request.method in ("GET", "HEAD") else wire.not_allowed(request, "GET, POST")

    async def _page(self, pages: Pages, request: Request) -> Response:
        def made() -> tuple[int, str]:
            with Client(self.url, token=self.guard.token if self.guard else "") as client:
                return pages(client, request.path, request.query)

        status, document = await asyncio.get_running_loop().run_in_executor(self._page_threads, made)
        return Response(status, _PAGE_HEADERS, document.encode())

    def _refuse_strangers(self, request: Request) -> Response | None:
        if self.guard is not None:
            if request.path == "/ping":
                return None
            try:
                self.guard.check(request)
                return None
            except ServiceError as error:
                return self.neighbours.refusal(request, error)
        host = request.header(b"host")
        name = _host_name(host)
        if name not in self._hosts and not name.endswith(BUCKET_HOST):
            next_step = "Use http://127.0.0.1:PORT, or say --host."
            return wire.plain(
                403, {"error": f"the Host header names {host!r}, not this machine", "next_step": next_step}
            )
        origin = request.header(b"origin")
        if origin and urlsplit(origin).netloc != host:
            return wire.plain(403, {"error": f"requests from pages of {origin} are refused"})
        return None

    async def _operate(self, request: Request) -> Response:
        operation = wire.operation_of(request)
        if operation is None:
            target = request.header(b"x-amz-target") or "none"
            return wire.json_error(
                ServiceError(
                    "UnknownOperationException",
                    f"X-Amz-Target is {target}; this server answers SageMaker.<Operation>.",
                )
            )
        loop = asyncio.get_running_loop()
        try:
            body = wire.read_json(request)
            answer = await loop.run_in_executor(self._threads, operations.run, self._plane, operation, body)
            return wire.json_answer(answer)
        except ServiceError as error:
            return wire.json_error(error)
        except SeaproofError as error:
            return wire.json_error(ServiceError("InternalFailure", str(error), status=500))
        except Exception as error:
            log.exception("%s failed", operation)
            return wire.json_error(
                ServiceError(
                    "InternalFailure", f"seaproof failed on {operation}: {error!r}. Its log says where.", status=500
                )
            )

    def _answer_own(
        self, route: Callable[[dict[str, str]], Response | Awaitable[Response]], request: Request
    ) -> Response | Awaitable[Response]:
        query = {name: values[-1] for name, values in parse_qs(request.query).items()}
        try:
            return route(query)
        except KeyError as missing:
            return wire.plain(400, {"error": f"the query lacks {missing}"})
        except ValueError as error:
            return wire.plain(400, {"error": f"the query cannot be read: {error}"})

    def _health(self, query: dict[str, str]) -> Response:
        plane = self._plane
        facts: dict[str, Any] = {
            "url": self.url,
            "pid": os.getpid(),
            "version": __version__,
            "driver": plane.driver.name,
            "state": str(plane.folder),
        }
        return wire.plain(200, facts)

    def _logs(self, query: dict[str, str]) -> Response:
        piece = logs.read(self._plane, query["group"], query["stream"], int(query.get("offset") or 0))
        if piece is None:
            return wire.plain(404, {"error": f"there is no log stream {query['stream']!r} in {query['group']!r}"})
        return Response(200, [(b"Content-Type", b"text/plain; charset=utf-8")], piece)

    def _log_streams(self, query: dict[str, str]) -> Response:
        streams = logs.streams(self._plane, query["group"], query["owner"])
        if streams is None:
            return wire.plain(404, {"error": f"there is no log group {query['group']!r}"})
        return wire.plain(200, {"streams": streams})

    def _events(self, query: dict[str, str]) -> Response:
        found = self._plane.store.events(query["kind"], query["name"])
        return wire.plain(200, {"events": [{"time": event.time, **event.event} for event in found]})

    def _hold(self, query: dict[str, str]) -> Response:
        """An answer that does not end: while its reader is there, this coordinator stays.

        With `endpoint`, that endpoint is the reader's own and is deleted when the reader goes, however it goes.
        """

        async def held() -> AsyncIterator[bytes]:
            if self.ending:
                return  # its reader misses the word, and takes the next coordinator
            self.holds += 1
            self.was_held = True
            endpoint = query.get("endpoint", "")
            record = self._plane.store.get(ENDPOINT, endpoint) if endpoint else None
            created = record.created if record else None
            try:
                yield b"held\n"
                await asyncio.get_running_loop().create_future()
            finally:
                if endpoint:
                    self._plane.spawn(f"delete {endpoint}", partial(delete_settled, self._plane, endpoint, created))
                self.holds -= 1

        return Response(200, [(b"Content-Type", b"text/plain")], held())

    def _stay(self, query: dict[str, str]) -> Response:
        """From now on it ends only when told to, and endpoints that rest are started again."""
        self.stays = True
        resume(self._plane)
        return wire.plain(200, {"stays": True})

    async def _models(self, query: dict[str, str]) -> Response:
        # In a thread, as it asks the containers.
        loop = asyncio.get_running_loop()
        return wire.plain(200, {"models": await loop.run_in_executor(self._threads, multi_model.listing, self._plane)})

    def _shadows(self, query: dict[str, str]) -> Awaitable[Response]:
        endpoint = query["endpoint"]

        async def read() -> Response:
            # In a thread, as the file may be large.
            loop = asyncio.get_running_loop()
            return wire.plain(200, await loop.run_in_executor(self._threads, shadows.summary, self._plane, endpoint))

        return read()

    def _stop(self, query: dict[str, str]) -> Response:
        self.end()
        return wire.plain(200, {"ending": True})


def _is_browser(request: Request) -> bool:
    return "text/html" in request.header(b"accept")


@lru_cache(256)
def _host_name(host: str) -> str:
    """What a Host header names, without the port."""
    return (host.rsplit(":", 1)[0] if not host.endswith("]") else host).lower()
