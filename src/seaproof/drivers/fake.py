"""The fake driver: workloads as threads of this process, scripted by a text, for tests that need no containers.

What a workload does is written in its image reference, or in one of its arguments, after `fake:`; without one,
`serve` as argument serves and anything else exits with 0:

    fake:exit=137,after=2       ends with this code after so many seconds
    fake:serve                  answers /ping with 200 and /invocations with the body it got
    fake:serve,ready_after=0.2  nothing listens until then
    fake:serve,ping=503         answers /ping with this status; `invocations=500`, `delay=0.5` (s) likewise
    fake:never_ready            lives, but never listens
    fake:dies_after_ready=0.5   serves so long, then ends with `exit` (1)
    fake:ignore_sigterm         only SIGKILL ends it
    fake:log=10MB               prints so much in numbered lines first; `say=text` prints one line
    fake:report                 writes environment and arguments to /opt/ml/output/report.json
    fake:out_of_memory          ends with 137 and says that memory ran out
    fake:start_fails            start raises StartFailed; `fake:missing` raises ImageNotFound

Python callables play real programs: `FakeDriver(state, {"my-image": Program(train=..., serve=...)})`. The threads
belong to a registry of this process that plays the engine's part, so a second FakeDriver on the same state folder
finds what the first one started; after the death of the process its workloads are found ended with 137.
"""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from seaproof.drivers.driver import Exit, Handle, Health, Usage, Workload
from seaproof.drivers.logfile import read_log
from seaproof.errors import DriverError, ImageNotFound, StartFailed
from seaproof.http.message import Headers, Request, Response

_UNITS = {"KB": 1024, "MB": 1024**2}


@dataclass(frozen=True)
class Stream:
    """An answer that goes out part by part, in chunked coding."""

    status: int
    headers: Headers
    parts: Iterator[bytes]


@dataclass(frozen=True)
class Program:
    """Callables that play an image. `train` returns the exit code (None is 0); an exception is printed, code 1.

    `serve` answers every request but GET /ping, which the script answers, unless `ping` is given too.
    """

    train: Callable[[Run], int | None] | None = None
    serve: Callable[[Run, Request], Response | Stream] | None = None
    ping: Callable[[Run], int] | None = None
    script: str = ""
    """More of what happens, as after `fake:`."""


class Run:
    """What a program sees of its container."""

    def __init__(self, workload: Workload, folder: Path) -> None:
        self.workload = workload
        self.opt_ml = workload.opt_ml
        self.environment = dict(workload.environment)
        self.arguments = workload.arguments
        self.folder = folder
        self.sigterm = threading.Event()
        self.over = threading.Event()
        self.trapped = False
        self.exit: Exit | None = None
        self._lock = threading.Lock()
        self._log = (folder / "log").open("ab", buffering=0)

    def log(self, text: str) -> None:
        """Print one line, as a program does to stdout."""
        self.write(f"{text}\n".encode())

    def write(self, data: bytes) -> None:
        """Print bytes as they are; a program that was killed meanwhile ends here."""
        with self._lock:
            if self.over.is_set():
                raise SystemExit
            self._log.write(data)

    def trap(self) -> threading.Event:
        """Handle SIGTERM: it sets the event instead of ending the program at once with 143."""
        self.trapped = True
        return self.sigterm

    def end(self, code: int, out_of_memory: bool = False) -> None:
        """The program ends, once: its exit is written to disk before anyone is told."""
        with self._lock:
            if self.over.is_set():
                return
            self.exit = Exit(code, out_of_memory)
            (self.folder / "exit.json").write_text(json.dumps(asdict(self.exit)), encoding="utf-8")
            self.over.set()
            self._log.close()


@dataclass
class _Live:
    """A running workload in the registry."""

    run: Run
    listener: socket.socket | None
    server: ThreadingHTTPServer | None = None
    connections: set[socket.socket] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class _Script:
    steps: Mapping[str, str] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        return name in self.steps

    def number(self, name: str, default: float) -> float:
        return float(self.steps.get(name, default))


# Plays the engine: it outlives a driver object as dockerd outlives a coordinator. Keyed by handle id.
_LIVING: dict[str, _Live] = {}


class FakeDriver:
    """See the module. `state` is the folder in which it keeps its files (below `fake/`).

    With `any_image`, one that it does not know trains at once, leaves a model that says so, and serves.
    """

    name = "fake"

    def __init__(self, state: Path, programs: Mapping[str, Program] | None = None, *, any_image: bool = False) -> None:
        self._folder = state.absolute() / "fake"
        self._programs = dict(programs or {})
        self._any_image = any_image

    def add(self, image: str, program: Program) -> None:
        """One more image."""
        self._programs[image] = program

    def at(self, state: Path) -> FakeDriver:
        """See Driver.at."""
        return FakeDriver(state, self._programs)

    def check(self) -> Health:
        """It always works."""
        return Health(self.name, True, facts={"workloads": "threads of this process"})

    def start(self, workload: Workload) -> Handle:
        """See Driver.start."""
        program, script = self._program(workload), _script(workload, self._programs)
        for handle in self.recover():
            if handle.name == workload.name:
                self.stop(handle, 0)
        if script.has("start_fails"):
            raise StartFailed(f"{workload.image} does not start", where=workload.name, next_step="It was told so.")
        id = uuid.uuid4().hex
        folder = self._folder / workload.name
        folder.mkdir(parents=True)
        listener = None
        if workload.port is not None:
            listener = socket.socket()
            listener.bind(("127.0.0.1", 0))
        run = Run(workload, folder)
        run.trapped = script.has("ignore_sigterm")  # before anybody can stop it
        handle = Handle(
            driver=self.name,
            name=workload.name,
            id=id,
            host="127.0.0.1" if listener else None,
            port=listener.getsockname()[1] if listener else None,
        )
        live = _LIVING[id] = _Live(run, listener)
        # Whole or not at all: other threads look for what lives at any moment.
        (folder / "handle.part").write_text(handle.to_json(), encoding="utf-8")
        (folder / "handle.part").replace(folder / "handle.json")
        threading.Thread(target=_play, args=(live, program, script), name=f"fake {handle.name}", daemon=True).start()
        return handle

    def wait(self, handle: Handle, timeout: float | None = None) -> Exit | None:
        """See Driver.wait."""
        live = _LIVING.get(handle.id)
        if live is not None and not live.run.over.wait(timeout):
            return None
        exit = live.run.exit if live is not None else self._exit(handle)
        if exit is None:
            raise DriverError(
                f"nothing is known of the workload {handle.name}", next_step="It was stopped and cleared away."
            )
        return exit

    def stop(self, handle: Handle, grace: float) -> None:
        """See Driver.stop."""
        live = _LIVING.get(handle.id)
        if live is not None:
            live.run.sigterm.set()
            if not live.run.trapped:
                live.run.end(143)
            elif not live.run.over.wait(grace):
                live.run.end(137)
            _close(live)
        if self._known(handle):
            shutil.rmtree(self._folder / handle.name, ignore_errors=True)
        # Last: whoever waits for it reads its end there, and not from files that are being removed.
        _LIVING.pop(handle.id, None)

    def logs(self, handle: Handle, *, follow: bool = False, offset: int = 0) -> Iterator[bytes]:
        """See Driver.logs."""
        if not self._known(handle):
            raise DriverError(f"there is no log of {handle.name} any more")
        live = _LIVING.get(handle.id)
        return read_log(
            self._folder / handle.name / "log",
            offset=offset,
            follow=follow,
            ended=lambda: live is None or live.run.over.is_set(),
        )

    def usage(self, handle: Handle) -> Usage:
        """See Driver.usage; threads are no processes."""
        return Usage()

    def recover(self) -> list[Handle]:
        """See Driver.recover."""
        handles = []
        for path in self._folder.glob("*/handle.json"):
            with suppress(FileNotFoundError):  # stopped in this moment
                handles.append(Handle.from_json(path.read_text("utf-8")))
        return sorted(handles, key=lambda handle: handle.name)

    def _program(self, workload: Workload) -> Program:
        if workload.image in self._programs:
            return self._programs[workload.image]
        script = _script(workload, self._programs)
        if script.has("missing") or not (self._any_image or workload.image.partition(":")[0] == "fake"):
            raise ImageNotFound(
                f"the fake driver knows no image {workload.image!r}",
                next_step='Use an image such as "fake:serve", or give FakeDriver a Program of this name.',
            )
        return Program(train=_leave_a_model) if self._any_image else Program()

    def _known(self, handle: Handle) -> bool:
        try:
            text = (self._folder / handle.name / "handle.json").read_text("utf-8")
        except FileNotFoundError:
            return False
        return Handle.from_json(text).id == handle.id

    def _exit(self, handle: Handle) -> Exit | None:
        if not self._known(handle):
            return None
        try:
            return Exit(**json.loads((self._folder / handle.name / "exit.json").read_text("utf-8")))
        except FileNotFoundError:
            return Exit(137)  # its thread died with the process that ran it


def _leave_a_model(run: Run) -> None:
    model = run.opt_ml / "model"
    model.mkdir(parents=True, exist_ok=True)
    (model / "instant").write_text(f"{run.workload.image} was not run.\n", encoding="utf-8")


def _script(workload: Workload, programs: Mapping[str, Program]) -> _Script:
    """The steps in the image reference, in the program's script and in the arguments, the last one winning."""
    texts = [programs[workload.image].script] if workload.image in programs else []
    texts += [text[5:] for text in (workload.image, *workload.arguments) if text.startswith("fake:")]
    steps: dict[str, str] = {}
    for part in ",".join(texts).split(","):
        name, _, value = part.partition("=")
        if name:
            steps[name] = value
    if not steps and workload.arguments[:1] == ("serve",):
        steps["serve"] = ""
    if "dies_after_ready" in steps or (
        workload.port is not None and workload.image in programs and programs[workload.image].serve
    ):
        steps.setdefault("serve", "")
    return _Script(steps)


def _play(live: _Live, program: Program, script: _Script) -> None:
    """The life of one workload, from start to exit."""
    run = live.run
    try:
        _print(run, script)
        if script.has("report"):
            _report(run)
        if program.train is not None and run.workload.port is None:
            run.end(program.train(run) or 0)
        elif script.has("serve"):
            _serve(live, program, script)
        elif script.has("out_of_memory"):
            run.over.wait(script.number("after", 0))
            run.end(137, out_of_memory=True)
        elif script.has("never_ready") or (script.has("ignore_sigterm") and not script.has("exit")):
            run.over.wait()
        else:
            run.over.wait(script.number("after", 0))
            run.end(int(script.number("exit", 0)))
    except SystemExit:
        run.end(137)
    except Exception as error:
        _print_error(run, error)
        run.end(1)


def _print(run: Run, script: _Script) -> None:
    if script.has("say"):
        run.log(script.steps["say"])
    if script.has("log"):
        text = script.steps["log"]
        left = int(text[:-2]) * _UNITS[text[-2:]] if text[-2:] in _UNITS else int(text)
        # Numbered lines of 64 bytes, so that a missing or swapped piece shows.
        lines = b"".join(b"%063d\n" % number for number in range(left // 64))
        for start in range(0, len(lines), 65_536):
            run.write(lines[start : start + 65_536])


def _print_error(run: Run, error: Exception) -> None:
    try:
        run.log(f"{type(error).__name__}: {error}")
    except SystemExit:
        return


def _report(run: Run) -> None:
    target = run.opt_ml / "output"
    target.mkdir(parents=True, exist_ok=True)
    report = {"environment": run.environment, "arguments": list(run.arguments)}
    (target / "report.json").write_text(json.dumps(report), encoding="utf-8")


def _serve(live: _Live, program: Program, script: _Script) -> None:
    run = live.run
    if run.over.wait(script.number("ready_after", 0)) or live.listener is None:
        run.over.wait()
        return
    server = ThreadingHTTPServer(("127.0.0.1", 0), _answering(live, program, script), bind_and_activate=False)
    server.socket.close()
    server.socket = live.listener
    server.server_address = live.listener.getsockname()
    server.daemon_threads = True
    server.server_activate()
    live.server = server
    threading.Thread(
        target=server.serve_forever, args=(0.02,), name=f"fake {run.workload.name} http", daemon=True
    ).start()
    if script.has("dies_after_ready"):
        if not run.over.wait(script.number("dies_after_ready", 0)):
            _close(live)
            run.end(int(script.number("exit", 1)))
    elif script.has("after"):
        run.over.wait(script.number("after", 0))
        run.end(int(script.number("exit", 0)))
    else:
        run.over.wait()
    _close(live)


def _close(live: _Live) -> None:
    """Nobody is answered any more; done by whoever is first, and waited for by the other."""
    with live.lock:
        server, live.server = live.server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        if live.listener is not None:
            live.listener.close()
    for connection in list(live.connections):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def _answering(live: _Live, program: Program, script: _Script) -> type[BaseHTTPRequestHandler]:
    run = live.run

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60
        wbufsize = 64 * 1024  # head and body go out together

        def setup(self) -> None:
            live.connections.add(self.request)
            super().setup()

        def finish(self) -> None:
            super().finish()
            live.connections.discard(self.request)

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path, _, query = self.path.partition("?")
            headers = [(key.lower().encode(), value.encode("latin-1")) for key, value in self.headers.items()]
            response = _respond(run, program, script, Request(self.command, path, query, headers, body))
            self.send_response(response.status)
            for key, value in response.headers:
                self.send_header(key.decode(), value.decode("latin-1"))
            if isinstance(response, Stream):
                self.stream(response.parts)
                return
            data = response.body if isinstance(response.body, bytes) else b""
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def stream(self, parts: Iterator[bytes]) -> None:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                for part in filter(None, parts):
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                    self.wfile.flush()
            except Exception as error:
                # The connection ends without the last chunk: the reply is not taken for whole.
                _print_error(run, error)
                self.close_connection = True
                return
            self.wfile.write(b"0\r\n\r\n")

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet: the log holds what the program prints."""

    return Answer


def _respond(run: Run, program: Program, script: _Script, request: Request) -> Response | Stream:
    if request.path == "/ping":
        return Response(program.ping(run) if program.ping else int(script.number("ping", 200)))
    time.sleep(script.number("delay", 0))
    if program.serve is not None:
        try:
            return program.serve(run, request)
        except Exception as error:
            _print_error(run, error)
            return Response(500, [], str(error).encode())
    if request.path != "/invocations":
        return Response(404)
    content_type = request.header(b"content-type", "application/octet-stream")
    return Response(
        int(script.number("invocations", 200)), [(b"content-type", content_type.encode("latin-1"))], request.body
    )
