"""An invocation without a task, whose caller goes away as its reply begins to come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

import pytest

from endless_reply import endless_reply
from seaproof.gateway.passage import Passage
from seaproof.gateway.passing import Passing as GatewaysPassing
from seaproof.http.client import Answered, Client, Reply, StreamedReply
from seaproof.http.later import Later
from seaproof.http.message import Request, Response
from seaproof.http.server import run, serve
from seaproof.invocations.chain import Call
from seaproof.invocations.passing import Passing


class Leaving(Client):
    """Its caller is gone as soon as a reply has begun to come, in the same turn of the event loop."""

    later: Later

    def begin(self, *call: Any, answered: Answered, **how: Any) -> Callable[[], object]:
        """See Client.begin."""

        def and_leave(reply: Reply | StreamedReply | None, error: BaseException | None) -> None:
            answered(reply, error)
            self.later.cancel()

        return super().begin(*call, answered=and_leave, **how)


def _passing(client: Client, steps: Any) -> Passing:
    return Passing(client, steps, lambda came: Response(200))


def _gateways(client: Client, steps: Any) -> GatewaysPassing:
    async def go(going: Any) -> Response:
        came: Response = await going(None)
        return came

    return GatewaysPassing(Passage((), client, 20.0), steps, lambda came: Response(200), go)


@pytest.mark.parametrize("make", [_passing, _gateways])
def test_the_container_is_told_and_the_instance_is_left(make: Callable[[Client, Any], Passing]) -> None:
    async def main() -> list[str]:
        ended, happened = asyncio.Event(), []

        async def container(request: Request) -> Response:
            return endless_reply(ended)

        def steps(port: int) -> Generator[Call, Any, None]:
            try:
                yield Call("127.0.0.1", port, [], b"1", 20.0, 10**9, stream_over=1)
            finally:
                happened.append("left")

        server, client = await serve(container), Leaving()
        client.later = make(client, steps(server.port)).begin()
        client.later.then(lambda came: happened.append(type(came).__name__))
        try:
            await asyncio.wait_for(ended.wait(), 10)
        finally:
            await client.close()
            await server.close()
        return happened

    assert sorted(run(main())) == ["CancelledError", "left"]
