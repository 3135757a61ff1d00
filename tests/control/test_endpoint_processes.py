"""Endpoints whose containers are real processes with a real HTTP server, and coordinators that are really killed."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from endpoint_lab import (
    QUICK,
    a_config,
    an_archive,
    close_plane,
    create,
    delete,
    describe,
    events,
    in_service,
    invoke,
    load,
    nothing_is_left,
    open_plane,
    poll,
    settle,
)

from seaproof.control import endpoints
from seaproof.control.plane import Plane
from seaproof.control.recovery import recover
from seaproof.drivers.docker import DockerDriver
from seaproof.drivers.process import ProcessDriver
from seaproof.errors import ServiceError
from seaproof.project import FolderImage
from seaproof.storage.storage import Address

# What a request's body says, it does: "503 no", "sleep 2", "big 9000000", "close", "garbage", "die", or it echoes.
SERVER = """
import os, signal, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        time.sleep(float(os.environ.get("PING_TAKES", "0")))
        ready = "GATED" not in os.environ or os.path.exists("gate")
        self.answer(200 if ready else 503, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        verb, _, rest = body.decode().partition(" ")
        if len(verb) == 3 and verb.isdigit():
            return self.answer(int(verb), rest.encode())
        if verb == "sleep":
            time.sleep(float(rest))
        if verb == "big":
            return self.answer(200, bytes(int(rest)))
        if verb == "close":
            self.close_connection = True
            return
        if verb == "garbage":
            self.wfile.write(b"what is this\\r\\n\\r\\n")
            self.close_connection = True
            return
        if verb == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if verb == "model":
            with open(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml") + "/model/weights") as file:
                return self.answer(200, file.read().encode())
        self.answer(200, os.environ.get("NAME", "").encode() or body)

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
print("listening", sys.argv[1:], flush=True)
server = ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))), Answers)
server.daemon_threads = True
server.serve_forever()
"""


def a_driver(folder: Path, namespaces: bool | None = None) -> ProcessDriver:
    program = folder / "program"
    program.mkdir(parents=True, exist_ok=True)
    (program / "server.py").write_text(SERVER, encoding="utf-8")
    (program / "broken.py").write_text("import no_such_module\n", encoding="utf-8")
    return ProcessDriver(
        folder / "state",
        {
            "real": FolderImage(program, serve=(sys.executable, "server.py", "serve"), accept_bind_to_port=True),
            "broken": FolderImage(program, serve=(sys.executable, "broken.py", "serve"), accept_bind_to_port=True),
        },
        namespaces=namespaces,
    )


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    settings = replace(QUICK, ping_interval=0.3, limits="6MB")
    plane = open_plane(tmp_path / "state", settings, a_driver(tmp_path))
    yield plane
    close_plane(plane)


def model_error(plane: Plane, body: bytes) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        invoke(plane, body)
    assert (caught.value.code, caught.value.status) == ("ModelError", 424)
    return caught.value


def test_a_real_container_serves_its_model_through_an_update_under_load_with_no_failed_request(plane: Plane):
    plane.storage.write(Address("b", "model.tar.gz"), an_archive(weights="0.25"))

    def config(name: str) -> str:
        return a_config(plane, Image="real", ModelDataUrl="s3://b/model.tar.gz", Environment={"NAME": name})

    in_service(plane, config("one"))
    assert invoke(plane, b"model").body == b"0.25"
    with load(plane) as seen:
        poll(lambda: len(seen) > 50)
        endpoints.update_endpoint(plane, {"EndpointName": "e", "EndpointConfigName": config("two")})
        settle(plane)
        poll(lambda: b"two" in seen)

    assert [name for name, _ in itertools.groupby(dict.fromkeys(seen))] == [b"one", b"two"]
    delete(plane)
    assert nothing_is_left(plane)


def test_each_error_of_a_container_is_the_model_error_of_the_platform(plane: Plane):
    impatient = replace(plane, settings=replace(plane.settings, invocation_timeout=1.0))
    in_service(plane, a_config(plane, Image="real"))

    client, server = model_error(plane, b"415 no such type"), model_error(plane, b"500 oh")
    late, large = model_error(impatient, b"sleep 60"), model_error(plane, b"big 6291457")
    closed, garbage = model_error(plane, b"close"), model_error(plane, b"garbage")

    assert (client.members["OriginalStatusCode"], client.members["OriginalMessage"]) == (415, "no such type")
    assert client.message.startswith('Received client error (415) from primary with message "no such type". See ')
    assert (server.members["OriginalStatusCode"], server.members["ErrorCode"]) == (500, "INTERNAL_FAILURE_FROM_MODEL")
    assert late.members["OriginalStatusCode"] == 0
    assert late.message.startswith("Your invocation timed out while waiting for a response from container primary.")
    assert "the reply is over 6291456 bytes" in large.message
    assert "closed before the reply was complete" in closed.message
    assert "not HTTP" in garbage.message
    assert len(invoke(plane, b"big 6291456").body) == 6_291_456
    assert [event["type"] for event in events(plane) if event["type"] != "status"] == ["started", "ready"]


def test_a_container_killed_with_sigkill_is_replaced(plane: Plane):
    in_service(plane, a_config(plane, {"InitialInstanceCount": 2}, Image="real"))

    model_error(plane, b"die")
    poll(lambda: events(plane, "died-after-ready"))
    answered = [invoke(plane).status for _ in range(20)]
    poll(lambda: describe(plane)["ProductionVariants"][0]["CurrentInstanceCount"] == 2)

    assert answered == [200] * 20
    assert "exit code 137, by signal 9" in events(plane, "died-after-ready")[0]["message"]
    assert len(plane.driver.recover()) == 2


def test_a_container_whose_pings_take_too_long_never_gets_ready(plane: Plane):
    # Until it listens at all, it is a program that starts; then one ping takes 2 s.
    plane = replace(plane, settings=replace(plane.settings, startup_timeout=3.0))
    create(plane, a_config(plane, Image="real", Environment={"PING_TAKES": "9"}))

    found = settle(plane)

    assert re.search(r"[12] x timeout", found["FailureReason"])
    assert "does not answer within 2 s" in found["FailureReason"]
    assert "Last lines of its log: listening ['serve']" in found["FailureReason"]


def test_an_endpoint_is_told_once_that_there_are_no_namespaces(tmp_path: Path):
    plane = open_plane(tmp_path / "state", QUICK, a_driver(tmp_path, namespaces=False))
    try:
        in_service(plane, a_config(plane, {"InitialInstanceCount": 2}, Image="real"))
        told = [event["message"] for event in events(plane, "driver")]

        assert len(told) == 1
        assert "Namespaces are not allowed here" in told[0]
    finally:
        close_plane(plane)


def test_a_program_that_cannot_start_shows_its_traceback(plane: Plane):
    create(plane, a_config(plane, Image="broken"))

    found = settle(plane)

    assert found["EndpointStatus"] == "Failed"
    assert "ModuleNotFoundError: No module named 'no_such_module'" in found["FailureReason"]
    assert nothing_is_left(plane)


COORDINATOR = """
import sys, time
from pathlib import Path
from endpoint_lab import QUICK, a_config, create, open_plane, poll, settle
from test_endpoint_processes import a_driver

folder = Path(sys.argv[1])
plane = open_plane(folder / "state", QUICK, a_driver(folder))
create(plane, a_config(plane, {"InitialInstanceCount": 2}, Image="real", Environment={"GATED": "1"}))
if sys.argv[2] == "InService":
    (folder / "program" / "gate").touch()
    settle(plane)
else:
    poll(lambda: len(plane.store.handles()) == 2)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("status", ["InService", "Creating"])
def test_a_coordinator_killed_with_sigkill_loses_no_endpoint(tmp_path: Path, status: str):
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    command = [sys.executable, "-c", COORDINATOR, str(tmp_path), status]
    coordinator = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths})
    assert coordinator.stdout
    assert coordinator.stdout.readline() == b"ready\n"
    coordinator.send_signal(signal.SIGKILL)
    coordinator.wait()
    coordinator.stdout.close()
    (tmp_path / "program" / "gate").touch()
    plane = open_plane(tmp_path / "state", QUICK, a_driver(tmp_path))
    before = {handle.name for handle in plane.driver.recover()}
    try:
        recover(plane)
        assert len(before) == 2
        if status == "InService":
            assert invoke(plane, b"adopted").body == b"adopted"
            assert {handle.name for handle in plane.driver.recover()} == before
        else:
            assert settle(plane)["EndpointStatus"] == "InService"
            assert not {handle.name for handle in plane.driver.recover()} & before
        assert describe(plane)["ProductionVariants"][0]["CurrentInstanceCount"] == 2
        delete(plane)
        assert nothing_is_left(plane)
    finally:
        close_plane(plane)


@pytest.mark.docker
def test_an_endpoint_in_docker_serves_isolated_too_is_replaced_and_leaves_nothing(tmp_path: Path, probe_image: str):
    plane = open_plane(tmp_path / "state", replace(QUICK, ping_interval=0.3), DockerDriver(tmp_path / "state"))
    try:
        plane.storage.write(Address("b", "model.tar.gz"), an_archive(weights="0.25"))
        config = a_config(plane, Image=probe_image, ModelDataUrl="s3://b/model.tar.gz")
        plane.store.update("model", f"{config}-model-0", lambda body: body.update(EnableNetworkIsolation=True))
        in_service(plane, config)
        assert invoke(plane, b"isolated").body == b"isolated"

        subprocess.run(["docker", "kill", plane.driver.recover()[0].id], check=True, capture_output=True)
        poll(lambda: events(plane, "died-after-ready"))
        poll(lambda: describe(plane)["ProductionVariants"][0]["CurrentInstanceCount"] == 1)

        assert "exit code 137" in events(plane, "died-after-ready")[0]["message"]
        assert invoke(plane, b"again").body == b"again"
        endpoints.update_endpoint(
            plane, {"EndpointName": "e", "EndpointConfigName": a_config(plane, Image=probe_image)}
        )
        assert settle(plane)["EndpointStatus"] == "InService"
        assert invoke(plane, b"open").body == b"open"
        delete(plane)
        assert nothing_is_left(plane)
    finally:
        close_plane(plane)


@pytest.mark.docker
def test_a_chain_in_docker_goes_through_its_containers_and_is_replaced_whole(tmp_path: Path, probe_image: str):
    plane = open_plane(tmp_path / "state", replace(QUICK, ping_interval=0.3), DockerDriver(tmp_path / "state"))
    try:
        chain = [{"Image": probe_image, "ContainerHostname": "first"}, {"Image": probe_image}]
        in_service(plane, a_config(plane, Containers=chain))
        before = {handle.name for handle in plane.driver.recover()}
        assert len(before) == 2
        assert invoke(plane, b"through both").body == b"through both"

        second = next(handle for handle in plane.driver.recover() if handle.name.endswith("-2"))
        subprocess.run(["docker", "kill", second.id], check=True, capture_output=True)
        poll(lambda: len(events(plane, "ready")) == 2)

        assert (
            "Its container container-2 ended after it was ready: exit code 137"
            in (events(plane, "died-after-ready")[0]["message"])
        )
        assert invoke(plane, b"again").body == b"again"
        assert not before & {handle.name for handle in plane.driver.recover()}
        delete(plane)
        assert nothing_is_left(plane)
    finally:
        close_plane(plane)
