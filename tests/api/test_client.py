"""The client of the local server, where a call is broken off."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from seaproof.api.client import Client


class Ticker(ThreadingHTTPServer):
    """Counts what it is asked. The first answer is held: in its middle, or before it, this process gets a signal."""

    daemon_threads = True

    def __init__(self, *, before_the_answer: bool) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.before_the_answer = before_the_answer
        self.asked = 0
        self.go_on = threading.Event()


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Ticker

    def do_GET(self) -> None:
        self.server.asked += 1
        number = self.server.asked
        body = json.dumps({"number": number}).encode()
        if number == 1 and self.server.before_the_answer:
            self.interrupt()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:3])
        self.wfile.flush()
        if number == 1 and not self.server.before_the_answer:
            self.interrupt()
        self.wfile.write(body[3:])

    def interrupt(self) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        self.server.go_on.wait(20)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # who was interrupted has hung up
            super().handle()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(params=[True, False], ids=["before the answer", "in the middle of it"])
def ticker(request: pytest.FixtureRequest) -> Iterator[Ticker]:
    def ctrl_c(*_: object) -> None:
        raise KeyboardInterrupt

    # Not SIGINT: who runs the tests may have had it ignored, or wait for it.
    before = signal.signal(signal.SIGUSR1, ctrl_c)
    server = Ticker(before_the_answer=request.param)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()
    signal.signal(signal.SIGUSR1, before)


def test_a_call_after_one_that_was_interrupted_gets_its_own_answer(ticker: Ticker) -> None:
    with Client(f"http://127.0.0.1:{ticker.server_address[1]}") as client:
        with pytest.raises(KeyboardInterrupt):
            client.health()
        ticker.go_on.set()

        assert client.health() == {"number": 2}
        assert client.health() == {"number": 3}
