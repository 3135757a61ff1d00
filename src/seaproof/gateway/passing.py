"""One request on its way without a task: sent, called back, sent on. What takes longer than that, or is large enough to
be passed on while it comes, goes to a task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from seaproof.errors import HttpError
from seaproof.gateway.passage import Came, Listener, Passage
from seaproof.http.client import Reply, StreamedReply
from seaproof.http.later import Later
from seaproof.http.message import Response
from seaproof.invocations.chain import Call, Chain, Wait

Going = Callable[[Listener], Awaitable[Came | Response]]
"""What is still to come of a request, for whoever is told of the end of a reply that is passed on."""


class Passing:
    """Drives a chain by callbacks. `finish` makes the answer of what came; `go` does so of what is still to come."""

    __slots__ = ("_call", "_finish", "_go", "_later", "_passage", "_steps", "_stop")

    def __init__(
        self,
        passage: Passage,
        steps: Chain,
        finish: Callable[[Came], Response],
        go: Callable[[Going], Coroutine[Any, Any, Response]],
    ) -> None:
        self._passage, self._steps, self._finish, self._go = passage, steps, finish, go
        self._later = Later()
        self._call: Call | None = None
        self._stop: Callable[[], object] | None = None

    def begin(self) -> Later:
        """Send the first call."""
        self._later.on_cancel(self._give_up)
        self._send(next(self._steps))
        return self._later

    def _send(self, call: Call | Wait) -> None:
        if isinstance(call, Wait):
            # The container has unloaded or lost a model meanwhile.
            self._go_on(partial(self._passage.go_on, self._steps, call, None))
            return
        self._call = call
        try:
            self._stop = self._passage.client.begin(
                call.host,
                call.port,
                call.method,
                call.target,
                call.headers,
                call.body,
                timeout=call.timeout,
                max_body=call.max_body,
                stream_over=call.stream_over,
                answered=self._answered,
            )
        except HttpError as error:
            self._go_on(partial(self._passage.go_on, self._steps, call, error))

    def _answered(self, reply: Reply | StreamedReply | None, error: BaseException | None) -> None:
        assert self._call is not None
        if isinstance(reply, StreamedReply):
            self._go_on(partial(self._passage.go_on, self._steps, self._call, reply), reply)
        elif isinstance(error, HttpError):
            self._go_on(partial(self._passage.go_on, self._steps, self._call, error))
        elif error is not None:
            self._steps.close()
            self._later.fail(error)
        else:
            try:
                call = self._steps.send(reply)
            except StopIteration as end:
                self._end(end.value)
            except Exception as failed:
                self._go_on(partial(_raise, failed))
            else:
                self._send(call)

    def _end(self, came: Came) -> None:
        try:
            response = self._finish(came)
        except Exception as error:
            self._later.fail(error)
        else:
            self._later.answer(response)

    def _go_on(self, going: Going, begun: StreamedReply | None = None) -> None:
        """In a task, from here on."""
        task = asyncio.ensure_future(self._go(going))
        self._later.on_cancel(task.cancel)
        task.add_done_callback(partial(self._on_gone, begun=begun))

    def _on_gone(self, task: asyncio.Future[Response], begun: StreamedReply | None) -> None:
        if task.cancelled():
            # One that was cancelled before its first step has closed nothing.
            self._steps.close()
            if begun is not None:
                begun.close()
            self._later.fail(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self._later.fail(error)
        else:
            self._later.answer(task.result())

    def _give_up(self) -> None:
        if self._stop is not None:
            self._stop()
        self._steps.close()
        self._later.fail(asyncio.CancelledError())


async def _raise(error: Exception, listener: Listener) -> Came | Response:
    raise error
