"""A reply that is passed on to the caller while it comes: the last container's, of InvokeEndpointWithResponseStream.

The steps are those of any invocation (`flow`), or a chain. The call of the last container has `opened`: once the head
of a 2xx reply and its first part are there, the caller gets an answer whose body is the rest, and the steps go on when
it has ended. What fails before the first part is answered as any other failure; what fails after it is raised by the
body.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Any, cast

from seaproof.contract.http import is_success
from seaproof.errors import HttpError
from seaproof.http.client import Client, Reply, StreamedReply
from seaproof.http.message import Response
from seaproof.http.outbound import close_body
from seaproof.invocations import send
from seaproof.invocations.chain import Call, Wait
from seaproof.invocations.flow import Steps
from seaproof.invocations.hop_body import HopBody
from seaproof.invocations.read_ahead import ReadAhead


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
                begun = time.monotonic()
                reply = await (_open(client, call) if call.opened else send.request(client, call))
                if call.opened and isinstance(reply, StreamedReply):
                    return await pass_on(steps, call, reply, begun + call.timeout)
            except HttpError as error:
                call = steps.throw(error)
                continue
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
    with path.open("wb") as file:
        response = await open_stream(client, steps)
        body, size = response.body, 0
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


async def pass_on(
    steps: Generator[Call | Wait, Any, Any],
    call: Call,
    reply: StreamedReply,
    deadline: float,
    ended: Callable[[Any], object] | None = None,
    broken: Callable[[Exception], Awaitable[Exception]] | None = None,
    sends: Callable[[], bool] | None = None,
) -> Response:
    """The answer to a caller who takes this reply as it comes. HttpError where nothing of it comes.

    `deadline` is that of its last part (monotonic seconds). `ended` is told what the steps return. What they make of a
    reply that breaks off is raised by the body, or what `broken` makes of that. `sends` is whether the caller has more
    to send, where it does so while its answer begins.
    """
    assert call.opened is not None
    answer = call.opened(call, reply)
    body = cast(HopBody, answer.body)
    timer = asyncio.get_running_loop().call_later(max(0.0, deadline - time.monotonic()), reply.expire)
    try:
        first = await anext(body, b"")
    except BaseException:
        timer.cancel()
        raise
    rest = ReadAhead(body, sends) if sends is not None and sends() else body
    parts = Parts(steps, reply, rest, first, timer, ended, broken)
    return Response(answer.status, answer.headers, cast("AsyncIterator[bytes]", parts))


class Parts:
    """The parts of one reply that has begun. An async iterator; `aclose` at any time, also before the first part.

    A generator would not do: one that is closed before its first step never runs its `finally`.
    """

    def __init__(
        self,
        steps: Generator[Call | Wait, Any, Any],
        source: StreamedReply,
        body: HopBody | ReadAhead,
        first: bytes,
        timer: asyncio.TimerHandle,
        ended: Callable[[Any], object] | None,
        broken: Callable[[Exception], Awaitable[Exception]] | None,
    ) -> None:
        self._steps: Generator[Call | Wait, Any, Any] | None = steps
        self._source = source
        self._body = body
        self._first = first
        self._timer = timer
        self._ended = ended
        self._broken = broken

    def __aiter__(self) -> Parts:
        return self

    async def __anext__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        try:
            return await self._body.__anext__()
        except StopAsyncIteration:
            self._end()
            await self._go_on(None)
            raise
        except Exception as error:
            self._end()
            await self._go_on(error)
            raise

    def _end(self) -> None:
        self._timer.cancel()
        self._body.close()

    async def _go_on(self, error: Exception | None) -> None:
        """Tell the steps how the reply ended; raises what they make of one that broke off."""
        steps, self._steps = self._steps, None
        if steps is None:
            return
        source = self._source
        whole = Reply(source.status, source.headers, b"", source.connect_seconds, source.first_byte_seconds)
        try:
            if error is None:
                steps.send(whole)
            else:
                steps.throw(error)
        except StopIteration as end:
            if self._ended is not None:
                self._ended(end.value)
        except Exception as failed:
            raise (failed if self._broken is None else await self._broken(failed)) from error
        finally:
            steps.close()

    async def aclose(self) -> None:
        """Nobody reads any more: the container's connection is closed, unless the reply has ended."""
        self._end()
        if self._steps is not None:
            self._steps.close()


async def _open(client: Client, call: Call) -> StreamedReply | Reply:
    """A 2xx reply that has begun, or any other one whole. HttpError where there is none."""
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
    if is_success(source.status):
        return source
    parts, size = [], 0
    async for part in source:
        parts.append(part)
        size += len(part)
        if size > call.max_body:
            source.close()
            raise HttpError("oversize", f"the reply is over {call.max_body} bytes", where=f"{call.host}:{call.port}")
    total = time.monotonic() - begun
    return Reply(
        source.status, source.headers, b"".join(parts), source.connect_seconds, source.first_byte_seconds, total
    )
