"""An invocation without a task: sent, called back, answered. A task costs an event loop more than all the rest of it.

What has to wait for something else than a container's reply (a model that is loaded), and what is passed on while it
comes, goes on in a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from seaproof.errors import HttpError, ServiceError
from seaproof.http.client import Client, Reply, StreamedReply
from seaproof.http.later import Later
from seaproof.http.message import Response
from seaproof.invocations import send
from seaproof.invocations.chain import Call, Wait
from seaproof.invocations.flow import Steps

Finish = Callable[["Response | ServiceError"], Response]


class Passing:
    """Drives the steps of one invocation. `finish` makes the answer of what comes of them."""

    __slots__ = ("_call", "_client", "_finish", "_later", "_steps", "_stop")

    def __init__(self, client: Client, steps: Steps, finish: Finish) -> None:
        self._client, self._steps, self._finish = client, steps, finish
        self._later = Later()
        self._stop: Callable[[], object] | None = None

    def begin(self) -> Later | Response:
        """Send the first call; the answer at once, where there is nothing to send."""
        try:
            call = next(self._steps)
        except ServiceError as error:
            return self._finish(error)
        self._later.on_cancel(self._give_up)
        self._send(call)
        return self._later

    def _send(self, call: Call | Wait) -> None:
        self._call = call
        if isinstance(call, Wait):
            self._go_on(call)
            return
        try:
            self._stop = self._client.begin(
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
            self._answered(None, error)

    def _answered(self, reply: Reply | StreamedReply | None, error: BaseException | None) -> None:
        if isinstance(reply, StreamedReply):
            self._go_on(self._call, reply)
            return
        steps = self._steps
        try:
            if error is None:
                call = steps.send(reply)
            elif isinstance(error, HttpError):
                call = steps.throw(error)
            else:  # it was given up
                steps.close()
                self._later.fail(error)
                return
        except StopIteration as end:
            self._end(end.value)
        except ServiceError as failed:
            self._end(failed)
        except Exception as unexpected:
            self._later.fail(unexpected)
        else:
            self._send(call)

    def _end(self, came: Response | ServiceError) -> None:
        try:
            response = self._finish(came)
        except Exception as error:
            self._later.fail(error)
        else:
            self._later.answer(response)

    def _go_on(self, call: Call | Wait, begun: StreamedReply | None = None) -> None:
        """In a task, from this call on, or from the reply that has begun to come."""
        task = asyncio.ensure_future(send.drive(self._client, self._steps, call, begun))
        self._later.on_cancel(task.cancel)
        task.add_done_callback(partial(self._on_gone, begun=begun))

    def _on_gone(self, task: asyncio.Future[Response], begun: StreamedReply | None) -> None:
        if task.cancelled():
            # One that was cancelled before its first step has closed nothing.
            self._steps.close()
            if begun is not None:
                begun.close()
            self._later.fail(asyncio.CancelledError())
        elif (error := task.exception()) is None:
            self._end(task.result())
        elif isinstance(error, ServiceError):
            self._end(error)
        else:
            self._later.fail(error)

    def _give_up(self) -> None:
        if self._stop is not None:
            self._stop()
        self._steps.close()
        self._later.fail(asyncio.CancelledError())
