"""InvokeEndpointWithResponseStream: the reply of the last container is passed on while it comes.

The steps are those of any invocation (`flow`). The call of the last container has `opened`: once the head of a 2xx
reply and its first part are there, the caller gets an answer whose body is the rest, and the steps go on when it has
ended. What fails before the first part is answered as any other failure; what fails after it is raised by the body.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

from seaproof.contract.http import is_success
from seaproof.errors import HttpError
from seaproof.http.client import Client, Reply, StreamedReply
from seaproof.http.message import Response
from seaproof.http.outbound import close_body
from seaproof.invocations import send
from seaproof.invocations.chain import Call, Wait
from seaproof.invocations.flow import Steps


async def open_stream(client: Client, steps: Steps) -> Response:
    """Drive the steps until the last container's reply has begun: its head, with a body of parts as they come.

    ServiceError where the platform would answer one; from the body, where the reply breaks off. Closing the body
    closes the container's connection.
    """
    try:
        call = next(steps)
        while True:
            if isinstance(call, Wait):
                await asyncio.wait([asyncio.wrap_future(call.future)], timeout=call.seconds)
                call = steps.send(None)
                continue
            try:
                reply = await (_open(client, call) if call.opened else send.request(client, call))
            except HttpError as error:
                call = steps.throw(error)
                continue
            if isinstance(reply, Parts):
                assert call.opened is not None
                head = call.opened(reply.reply)
                reply.steps = steps
                return Response(head.status, head.headers, cast("AsyncIterator[bytes]", reply))
            call = steps.send(reply)
    except StopIteration as end:
        response: Response = end.value
        return response
    except BaseException:
        steps.close()
        raise


async def to_file(client: Client, steps: Steps, path: Path, limit: int) -> Response:
    """Drive the steps, and write what the last container answers to a file while it comes; the response without it.

    ServiceError where the platform would answer one; HttpError `oversize` where the answer has over `limit` bytes;
    OSError where it cannot be written.
    """
    response = await open_stream(client, steps)
    body, size = response.body, 0
    with path.open("wb") as file:
        if isinstance(body, bytes):
            file.write(body)
            return Response(response.status, response.headers)
        try:
            async for part in body:
                size += len(part)
                if size > limit:
                    raise HttpError("oversize", f"the answer is over {limit} bytes")
                await asyncio.to_thread(file.write, part)
        finally:
            await close_body(body)
    return Response(response.status, response.headers)


class Parts:
    """The parts of one reply that has begun. An async iterator; `aclose` at any time, also before the first part.

    A generator would not do: one that is closed before its first step never runs its `finally`.
    """

    def __init__(self, source: StreamedReply, first: bytes, deadline: float, begun: float) -> None:
        now = time.monotonic()
        self.reply = Reply(source.status, source.headers, b"", 0.0, now - begun, now - begun)
        """Head and times of the reply."""
        self.steps: Steps | None = None
        """What goes on when the reply has ended."""
        self._source = source
        self._first = first
        self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - now), source.expire)

    def __aiter__(self) -> Parts:
        return self

    async def __anext__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        try:
            return await self._source.__anext__()
        except StopAsyncIteration:
            self._timer.cancel()
            self._go_on(None)
            raise
        except HttpError as error:
            self._timer.cancel()
            self._go_on(error)
            raise

    def _go_on(self, error: HttpError | None) -> None:
        """Tell the steps how the reply ended; ServiceError where they make one of it."""
        steps, self.steps = self.steps, None
        if steps is None:
            return
        try:
            if error is None:
                steps.send(self.reply)
            else:
                steps.throw(error)
        except StopIteration:
            return
        finally:
            steps.close()

    async def aclose(self) -> None:
        """Nobody reads any more: the container's connection is closed, unless the reply has ended."""
        self._timer.cancel()
        await self._source.aclose()
        if self.steps is not None:
            self.steps.close()


async def _open(client: Client, call: Call) -> Parts | Reply:
    """A 2xx reply with its first part, or any other one whole. HttpError where there is none."""
    begun = time.monotonic()
    headers, body = send.framed(call)
    source = await client.stream(
        call.host,
        call.port,
        call.method,
        call.target,
        headers,
        body,
        timeout=call.timeout,
        max_body=None,
        resend=False,
    )
    deadline = begun + call.timeout
    if is_success(source.status):
        return Parts(source, await anext(source, b""), deadline, begun)
    parts, size = [], 0
    async for part in source:
        parts.append(part)
        size += len(part)
        if size > call.max_body:
            await source.aclose()
            raise HttpError("oversize", f"the reply is over {call.max_body} bytes", where=f"{call.host}:{call.port}")
    now = time.monotonic()
    return Reply(source.status, source.headers, b"".join(parts), 0.0, now - begun, now - begun)
