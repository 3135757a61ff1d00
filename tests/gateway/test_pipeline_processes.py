"""The gateway with programs of its own, on the process driver."""

from __future__ import annotations

import json
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pipeline_process import PROGRAMS, call, pipeline, seaproof, until

SLOW = """
import os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def do_POST(self):
        print("asked", flush=True)
        time.sleep(60)
ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with a single-model and a multi-model container, both as folders."""
    (tmp_path / "models" / "allseeingeye").mkdir(parents=True)
    (tmp_path / "models" / "allseeingeye" / "text").write_text("I see")
    for name in ("single", "multi"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "serve.py").write_text((PROGRAMS / f"{name}.py").read_text())
    containers = [
        {"container": "pre", "folder": "single"},
        {"container": "inf", "type": "multi", "folder": "multi", "models": "models"},
    ]
    for container in containers:
        container |= {"serve": [sys.executable, "-u", "serve.py"], "accept_bind_to_port": True}
    (tmp_path / "containers.json").write_text(json.dumps(containers))
    return tmp_path


def test_folders_are_started_called_and_stopped(folder: Path):
    with pipeline(folder) as front:
        assert front.ping() == 200
        status, body = front.post("?model=allseeingeye", b"abc", Content_Type="text/plain; charset=utf-8")
        url = front.url
        shown = call(url.replace("/pipeline", "/"), None, {"Accept": "text/html"})[1].decode()
        told = call(url.replace("/pipeline", "/"), None, {"Accept": "*/*"})[1]
        assert front.stop() == 0

    assert shown.startswith("<!doctype html>")
    assert "<td>allseeingeye</td><td>loaded</td>" in shown
    assert f"curl &#x27;{url.removeprefix('http://')}?model=NAME&#x27;" in shown
    assert json.loads(told)["call"]
    assert status == 200
    assert json.loads(body)["says"] == "I see"
    assert json.loads(body)["given"]["type"] == "text/plain; charset=utf-8"
    host, _, port = url.removeprefix("http://").removesuffix("/pipeline").partition(":")
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0
    assert not list((folder / ".seaproof" / "pipeline").glob("process/*"))
    assert not list((folder / ".seaproof" / "pipeline").glob("opt-ml/*"))


def test_what_is_not_answered_in_time_when_it_ends_is_told_so(tmp_path: Path):
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "serve.py").write_text(SLOW)
    slow = {"container": "slow", "folder": "slow", "serve": [sys.executable, "-u", "serve.py"]}
    (tmp_path / "containers.json").write_text(json.dumps([{**slow, "accept_bind_to_port": True}]))
    logs = tmp_path / ".seaproof" / "pipeline" / "process"
    with pipeline(tmp_path) as front, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(front.post)
        until(lambda: [log for log in logs.glob("*/log") if "asked" in log.read_text()])
        code = front.stop()
        status, body = answer.result(20)

    assert (code, status) == (0, 503)
    assert json.loads(body)["error"] == "the server is ending"


def test_a_reader_of_its_output_that_goes_away_costs_nobody_an_answer(folder: Path):
    with pipeline(folder) as front:
        assert front.process.stdout is not None
        front.process.stdout.close()
        answers = [front.post("?model=allseeingeye", body)[0] for body in (b"abc", b"die")]
        until(lambda: front.ping() == 200)
        after = front.post("?model=allseeingeye", b"abc")[0]

    assert (answers, after) == ([200, 502], 200)


def test_a_program_that_dies_is_named_and_started_again(folder: Path):
    with pipeline(folder) as front:
        status, body = front.post("?model=allseeingeye", b"die")
        until(lambda: front.ping() == 200)
        after = front.post("?model=allseeingeye", b"abc")

    found = json.loads(body)
    assert (status, found["step"]["name"], found["cause"]) == (502, "pre", "died")
    assert "exit code 3" in found["detail"]
    assert "ends as it was told" in found["log"]
    assert after[0] == 200


def test_a_model_container_that_was_killed_is_loaded_again(folder: Path):
    with pipeline(folder) as front:
        assert front.post("?model=allseeingeye", b"abc")[0] == 200
        assert front.post("?model=allseeingeye&trace=1", b"perish")[0] == 502
        until(lambda: front.ping() == 200)
        status, body = front.post("?model=allseeingeye&trace=1", b"abc")

    assert status == 200
    assert [load["model"] for load in json.loads(body)["loads"]] == ["allseeingeye"]


def test_a_program_that_never_gets_ready_ends_the_gateway_with_its_log(folder: Path):
    (folder / "single" / "serve.py").write_text("raise SystemExit('there is no model')")
    done = seaproof(folder, "--port", "0")

    assert done.returncode == 1
    assert "container pre ended before it answered /ping: exit code 1" in done.stderr
    assert "there is no model" in done.stderr
    assert not list((folder / ".seaproof" / "pipeline").glob("process/*"))


def test_what_would_be_done_is_said_and_nothing_is_done(folder: Path):
    done = seaproof(folder, "--check")

    assert (done.returncode, done.stderr) == (0, "")
    assert "1. pre is started from folder" in done.stdout
    assert "by the process driver" in done.stdout
    assert not (folder / ".seaproof").exists()


def test_a_second_gateway_of_the_project_is_refused(folder: Path):
    with pipeline(folder):
        done = seaproof(folder, "--port", "0")

    assert done.returncode == 1
    assert "another `seaproof pipeline` of this project runs" in done.stderr


def test_a_port_that_is_taken_is_said(folder: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = seaproof(folder, "--port", str(port))

    assert done.returncode == 1
    assert f"port {port} cannot be listened on" in done.stderr
    assert "--port" in done.stderr


class _Echo(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


def test_a_legacy_port_is_where_a_program_is_that_no_engine_knows(tmp_path: Path):
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        name = "seaproof-test-no-such-container"
        (tmp_path / "containers.jdn").write_text(f'[{{:type "single" :container "{name}" :port {server.server_port}}}]')
        with pipeline(tmp_path) as front:
            status, body = front.post("", b"[1]")
        server.shutdown()

    assert (status, json.loads(body)) == (200, {name: [1]})


def test_no_configuration_is_said_on_the_command_line(tmp_path: Path):
    done = seaproof(tmp_path)

    assert done.returncode == 1
    assert "there is no configuration" in done.stderr


def test_each_request_is_a_line_of_json_for_programs(folder: Path):
    with pipeline(folder) as front:
        assert front.post("?model=allseeingeye", b"abc")[0] == 200
        assert front.process.stdout is not None
        report = json.loads(front.process.stdout.readline())

    assert (report["query"], report["status"]) == ("model=allseeingeye", 200)
    assert [step[0] for step in report["steps"]] == ["pre", "inf"]
