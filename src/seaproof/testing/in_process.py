"""Models that are served in the process of the tests: an author's functions, behind a port of their own.

The functions, and what is made of their results and errors, are those of `seaproof-container serve`; one request after
another, as there is one process. A debugger stops in them, and coverage sees them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from seaproof.contract.environ import ServingEnviron
from seaproof.drivers.driver import Driver, Exit, Handle, Health, Usage, Workload
from seaproof.drivers.fake import FakeDriver, Program, Run, Stream
from seaproof.http.message import Request, Response
from seaproof.serving.functions import read_functions
from seaproof.serving.loading import load_predictor
from seaproof.serving.predictor import Parts, Predictor
from seaproof.serving.replies import failure_reply

IMAGE_PREFIX = "in-process-"


def program_of(functions: Mapping[str, Callable[..., Any]], where: str) -> Program:
    """The functions as an image. ContractError names what is wrong with them; the model is loaded by the first ping."""
    found = read_functions(SimpleNamespace(**functions), where)
    loaded: dict[str, Predictor] = {}
    lock = threading.Lock()

    def predictor(run: Run) -> Predictor:
        with lock:
            if run.workload.name not in loaded:
                environ = ServingEnviron(base_dir=str(run.opt_ml))
                loaded[run.workload.name] = load_predictor(found, environ, asyncio.run)
            return loaded[run.workload.name]

    def ping(run: Run) -> int:
        try:
            predictor(run)
        except Exception as error:
            run.log(f"the model cannot be loaded: {type(error).__name__}: {error}")
            run.end(1)
            return 500
        return 200

    def serve(run: Run, request: Request) -> Response | Stream:
        try:
            loaded = predictor(run)
            with lock:
                answer = asyncio.run(loaded.predict_async(request)) if found.predicts_async else loaded.predict(request)
        except Exception as error:
            return failure_reply(error, where)
        return Stream(answer.status, answer.headers, _bytes_of(answer.pieces)) if isinstance(answer, Parts) else answer

    return Program(serve=serve, ping=ping)


def _bytes_of(pieces: Iterator[Any] | AsyncIterator[Any]) -> Iterator[bytes]:
    if isinstance(pieces, AsyncIterator):
        loop = asyncio.new_event_loop()
        try:
            while True:
                try:
                    piece = loop.run_until_complete(anext(pieces))
                except StopAsyncIteration:
                    return
                yield piece.encode() if isinstance(piece, str) else bytes(piece)
        finally:
            loop.close()
    for piece in pieces:
        yield piece.encode() if isinstance(piece, str) else bytes(piece)


class TestDriver:
    """Two drivers as one: images that are functions run in this process, all others as the other driver has it."""

    __test__ = False  # pytest takes a class of this name for tests

    name = "testing"

    def __init__(self, state: Path, other: Driver) -> None:
        self.functions = FakeDriver(state)
        self._other = other

    def _of(self, image: str) -> Driver:
        return self.functions if image.startswith((IMAGE_PREFIX, "fake:")) else self._other

    def _owner(self, handle: Handle) -> Driver:
        return self.functions if handle.driver == self.functions.name else self._other

    def at(self, state: Path) -> TestDriver:
        """See Driver.at."""
        return TestDriver(state, self._other.at(state))

    def check(self) -> Health:
        """See Driver.check: what the other one says."""
        return self._other.check()

    def start(self, workload: Workload) -> Handle:
        """See Driver.start."""
        return self._of(workload.image).start(workload)

    def wait(self, handle: Handle, timeout: float | None = None) -> Exit | None:
        """See Driver.wait."""
        return self._owner(handle).wait(handle, timeout)

    def stop(self, handle: Handle, grace: float) -> None:
        """See Driver.stop."""
        self._owner(handle).stop(handle, grace)

    def logs(self, handle: Handle, *, follow: bool = False, offset: int = 0) -> Iterator[bytes]:
        """See Driver.logs."""
        return self._owner(handle).logs(handle, follow=follow, offset=offset)

    def usage(self, handle: Handle) -> Usage:
        """See Driver.usage."""
        return self._owner(handle).usage(handle)

    def recover(self) -> list[Handle]:
        """See Driver.recover."""
        return [*self.functions.recover(), *self._other.recover()]
