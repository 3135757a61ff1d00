"""What the front of a multi-model container passes on, where its client has gone."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from endless_reply import endless_reply
from seaproof.http.client import Client
from seaproof.http.message import Request, Response
from seaproof.http.outbound import close_body
from seaproof.http.server import run, serve
from seaproof.serving.orders import Process
from seaproof.serving.relay import relay


def test_an_answer_of_which_nothing_went_out_yet_ends_at_its_model_too(tmp_path: Path) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def model(request: Request) -> Response:
            return endless_reply(ended)

        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "model"))
        server, client = await serve(model, sock=listener), Client()
        process = Process(1, busy={str(tmp_path / "model"): 0})
        answer = await relay(client, process, Request("POST", "/invocations"), 20)
        await close_body(answer.body)

        try:
            await asyncio.wait_for(ended.wait(), 10)
        finally:
            await client.close()
            await server.close()

    run(main())
