"""Answers that come later without a task, over a real server."""

from __future__ import annotations

import asyncio

from seaproof.errors import RequestError
from seaproof.http.client import Client
from seaproof.http.later import Later
from seaproof.http.message import Request, Response
from seaproof.http.server import run, serve

_PIPELINED = b"".join(b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % name for name in (b"first", b"second", b"third"))


def test_answers_that_come_later_go_out_in_the_order_of_their_requests() -> None:
    async def main() -> bytes:
        def handle(request: Request) -> Later:
            later = Later()
            asyncio.get_running_loop().call_later(0.01, later.answer, Response(200, [], request.path.encode()))
            return later

        server = await serve(handle)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(_PIPELINED)
        text = await asyncio.wait_for(reader.readuntil(b"/third"), 5)
        writer.close()
        await server.close()
        return text

    text = run(main())
    assert text.index(b"/first") < text.index(b"/second") < text.index(b"/third")


def test_an_answer_that_is_there_already_and_one_that_fails_are_sent() -> None:
    async def main() -> list[int]:
        def handle(request: Request) -> Later:
            later = Later()
            if request.path == "/there":
                later.answer(Response(201))
            else:
                later.fail(RequestError(418, "no"))
            later.answer(Response(500))
            return later

        server, client = await serve(handle), Client()
        found = [
            (await client.request("127.0.0.1", server.port, "GET", target, timeout=5)).status
            for target in ("/there", "/fails")
        ]
        await client.close()
        await server.close()
        return found

    assert run(main()) == [201, 418]


def test_a_client_that_goes_away_gives_up_what_was_to_come() -> None:
    async def main() -> int:
        given_up = asyncio.Event()

        def handle(request: Request) -> Later:
            later = Later()

            def give_up() -> None:
                given_up.set()
                later.fail(asyncio.CancelledError())

            later.on_cancel(give_up)
            return later

        server = await serve(handle)
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await writer.drain()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 5
        while not server.in_flight and loop.time() < deadline:
            await asyncio.sleep(0.01)
        writer.close()
        await asyncio.wait_for(given_up.wait(), 5)
        left = server.in_flight
        await server.close()
        return left

    assert run(main()) == 0
