from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from pipeline_process import until

from seaproof.drivers.process import ProcessDriver
from seaproof.errors import StartFailed
from seaproof.gateway.pings import await_ping
from seaproof.gateway.seats import Place, Seat
from seaproof.gateway.started import RESTARTS, Started
from seaproof.inference_pipeline import PipelineContainer
from seaproof.invocations.send import Sender
from seaproof.project import FolderImage
from seaproof.settings import Settings

SHORT_LIVED = """
import os, socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.rfile.readline()
        self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
        self.wfile.flush()
        print("had enough", flush=True)
        os._exit(9)
socketserver.TCPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).handle_request()
"""

ELSEWHERE = """
import http.server
print("Running on http://127.0.0.1:5000", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def test_what_listens_on_another_port_is_told_where_it_says_that_it_listens(tmp_path: Path):
    (tmp_path / "serve.py").write_text(ELSEWHERE)
    image = FolderImage(tmp_path, serve=(sys.executable, "serve.py"), accept_bind_to_port=True)
    seat, sender = Seat(PipelineContainer("pre", program=image)), Sender()
    driver = ProcessDriver(tmp_path / "state", {"pre": image})
    keeper = Started(seat, "pipeline-1-pre", driver, tmp_path, Settings(startup_timeout=4), sender, list[str]().append)
    try:
        with pytest.raises(StartFailed) as failed:
            keeper.open()
    finally:
        keeper.close()
        sender.close()

    assert "did not answer GET /ping with 200 within 4 s" in str(failed.value)
    assert str(failed.value).endswith("Running on http://127.0.0.1:5000")
    assert "It says that it listens on port 5000; it must listen on 0.0.0.0, port 8080" in str(failed.value)
    assert driver.recover() == []


def test_a_container_that_takes_its_time_is_spoken_of_meanwhile():
    sender, said = Sender(), list[str]()
    nobody = Place("127.0.0.1", 1, "first")
    try:
        with pytest.raises(StartFailed, match="within 2 s"):
            await_ping(
                sender, Settings(startup_timeout=2), "pre", lambda: nobody, lambda: None, said.append, first_word=0.1
            )
    finally:
        sender.close()

    assert re.match(r"pre: not ready after \d of 2 s, GET /ping: \d+ x refused. Nothing listens there", said[0])
    assert 1 <= len(said) <= 5


def test_what_dies_again_and_again_is_given_up(tmp_path: Path):
    (tmp_path / "serve.py").write_text(SHORT_LIVED)
    image = FolderImage(tmp_path, serve=(sys.executable, "serve.py"), accept_bind_to_port=True)
    container = PipelineContainer("pre", program=image)
    seat, sender, said = Seat(container), Sender(), list[str]()
    driver = ProcessDriver(tmp_path / "state", {"pre": image})
    keeper = Started(
        seat, "pipeline-1-pre", driver, tmp_path, Settings(startup_timeout=10), sender, said.append, first_pause=0.01
    )
    try:
        keeper.open()
        until(lambda: "not started again" in seat.problem)
        ended = keeper.ended(0.0)
        log = keeper.last_lines(0.0)
    finally:
        keeper.close()
        sender.close()

    assert seat.place is None
    assert sum("started again (" in line for line in said) == RESTARTS
    assert ended is not None
    assert (ended.code, log) == (9, "had enough")
    assert driver.recover() == []
