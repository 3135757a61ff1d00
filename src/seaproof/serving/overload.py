"""How much may wait for the model in one worker; more is refused at once, while the caller can still go elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from seaproof.contract import http
from seaproof.contract.environ import QUEUE
from seaproof.errors import RequestError
from seaproof.http.message import Request, Response
from seaproof.serving.replies import error_reply, log

COUNTED_BYTES = 16 * 1024
"""Smaller bodies are bounded by the number of requests alone."""
RETRY_AFTER = 1
SAY_AGAIN = 10.0
"""Seconds between two lines of the log that say that the queue is full."""

Invoke = Callable[[Request], "asyncio.Future[Response] | Awaitable[Response]"]
Waiting = dict["asyncio.Future[Any]", float]


class Bound:
    """How much may wait: so many requests, and so many bytes of their bodies. More is refused at once with 503.

    A request whose caller has left is counted until its turn comes, when it is dropped unpredicted.
    """

    def __init__(self, waiting: Waiting, requests: int, size: int) -> None:
        self._waiting = waiting
        self._requests = requests
        self._shut: Callable[[], RequestError | None] | None = None
        self._size = size
        self._held = 0
        self._refused = 0
        self._said = -SAY_AGAIN

    def around(self, submit: Invoke) -> Callable[[Request], Response | Awaitable[Response]]:
        """`submit` for as long as there is room."""
        waiting, most = self._waiting, self._requests

        def invoke(request: Request) -> Response | Awaitable[Response]:
            if self._shut is not None:
                if (error := self._shut()) is not None:
                    return error_reply(error)
                self._shut = None
            if len(waiting) >= most:
                return self._refuse(f"{len(waiting)} requests wait for the model already")
            if len(request.body) < COUNTED_BYTES:
                return submit(request)
            return self._submit_large(submit, request)

        return invoke

    def shut(self, why: Callable[[], RequestError | None]) -> None:
        """Answer what this says to whatever comes from now on, until it says None."""
        self._shut = why

    def _submit_large(self, submit: Invoke, request: Request) -> Response | Awaitable[Response]:
        size = len(request.body)
        # A body that is larger than all that may wait is no reason to refuse it where nothing waits.
        if self._held and self._held + size > self._size:
            return self._refuse(f"{self._held / 2**20:.0f} MiB wait for the model already")
        self._held += size
        future = asyncio.ensure_future(submit(request))

        def release(done: asyncio.Future[Response]) -> None:
            self._held -= size
            if done.cancelled():
                request.body = b""  # whoever still has the request would else keep it in memory until its turn

        future.add_done_callback(release)
        return future

    def _refuse(self, why: str) -> Response:
        self._refused += 1
        now = time.monotonic()
        if now - self._said >= SAY_AGAIN:
            log.warning("%s; requests are answered 503 (%d so far)", why, self._refused)
            self._said = now
        return error_reply(
            RequestError(
                503,
                f"this worker is overloaded: {why}",
                where=http.INVOCATIONS,
                next_step=f"Send the request again later, or less at once; {QUEUE} sets how many may wait.",
                headers={"Retry-After": str(RETRY_AFTER)},
            )
        )
