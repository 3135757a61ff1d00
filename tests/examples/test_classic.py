"""examples/classic runs unmodified under the drivers, with the behaviour that such containers are known for."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from seaproof.drivers.docker import DockerDriver
from seaproof.drivers.driver import Driver, Handle, Workload
from seaproof.drivers.process import ProcessDriver
from seaproof.project import load_project
from venvs import ROOT, make_environment

FOLDER = ROOT / "examples" / "classic"
CSV = "text/csv"
Reply = tuple[int, str, bytes]


@pytest.fixture(scope="module", params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def driver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Driver:
    """A driver that has the image `classic`."""
    state = tmp_path_factory.mktemp("state")
    return process_driver(state) if request.param == "process" else docker_driver(state)


@pytest.fixture(scope="module")
def trained(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An /opt/ml in which `train` has run."""
    opt_ml = tmp_path_factory.mktemp("trained") / "ml"
    code, log = train(driver, opt_ml)
    assert code == 0, log
    return opt_ml


@pytest.fixture(scope="module")
def endpoint(driver: Driver, trained: Path) -> Iterator[Handle]:
    """`serve` with that model, ready."""
    handle = serve(driver, trained, "endpoint")
    yield handle
    driver.stop(handle, 5)


def process_driver(state: Path) -> Driver:
    """The folder as seaproof.toml maps it, with nginx from the machine and the rest from .venv."""
    if shutil.which("nginx") is None and not os.environ.get("CI"):
        pytest.skip("nginx is not installed")
    make_environment("classic")
    driver = ProcessDriver(state, load_project(FOLDER / "seaproof.toml").images)
    if "not allowed" in driver.check().facts["namespaces"]:
        pytest.skip("namespaces are not allowed here, and the program has /opt/ml spelled out")
    return driver


def docker_driver(state: Path) -> Driver:
    """The image as its Dockerfile builds it on the tests' base."""
    driver = DockerDriver(state)
    if not driver.check().works and not os.environ.get("CI"):
        pytest.skip("no Docker engine answers")
    build = ["docker", "build", "--quiet", "--build-arg", "BASE=seaproof-base:latest", "--tag", "classic", str(FOLDER)]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    return driver


def train(driver: Driver, opt_ml: Path, change: Callable[[Path], None] = lambda opt_ml: None) -> tuple[int, str]:
    """Run `train` on a copy of test_dir, changed first; its exit code and output."""
    shutil.copytree(FOLDER / "test_dir", opt_ml)
    change(opt_ml)
    handle = driver.start(Workload(name="job", image="classic", opt_ml=opt_ml, arguments=("train",)))
    log = b"".join(driver.logs(handle, follow=True)).decode()
    ended = driver.wait(handle, 60)
    driver.stop(handle, 0)
    assert ended is not None
    return ended.code, log


def serve(driver: Driver, opt_ml: Path, name: str, until: int = 200) -> Handle:
    """Start `serve` and wait until /ping answers `until`."""
    workload = Workload(name=name, image="classic", opt_ml=opt_ml, arguments=("serve",), port=8080)
    handle = driver.start(replace(workload, environment={"MODEL_SERVER_WORKERS": "1"}, read_only=("model",)))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with suppress(OSError, http.client.HTTPException):
            if ask(handle, "GET", "/ping")[0] == until:
                return handle
        time.sleep(0.02)
    log = b"".join(driver.logs(handle)).decode()
    driver.stop(handle, 0)
    pytest.fail(f"/ping was not {until} in time; the log:\n{log}")


def ask(handle: Handle, method: str, path: str, body: bytes = b"", content_type: str = "") -> Reply:
    """One request: status, content type and body of the reply."""
    connection = http.client.HTTPConnection(handle.host or "", handle.port, timeout=10)
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # the reply may come before all of the body is sent
            connection.request(method, path, body, {"Content-Type": content_type} if content_type else {})
        reply = connection.getresponse()
        return reply.status, reply.headers["Content-Type"], reply.read()
    finally:
        connection.close()


def test_training_leaves_a_model(trained: Path) -> None:
    assert (trained / "model" / "decision-tree-model.pkl").is_file()
    assert not (trained / "output" / "failure").exists()


@pytest.mark.parametrize(
    ("missing", "says"),
    [("input/config/hyperparameters.json", "No such file"), ("input/data/training/iris.csv", "There are no files")],
)
def test_a_failed_training_explains_itself_in_the_failure_file(
    driver: Driver, tmp_path: Path, missing: str, says: str
) -> None:
    code, log = train(driver, tmp_path / "ml", lambda opt_ml: (opt_ml / missing).unlink())
    failure = (tmp_path / "ml" / "output" / "failure").read_text()

    assert code == 255
    assert failure.startswith("Exception during training: ")
    assert says in failure
    assert "Traceback" in failure
    assert says in log


def test_every_file_of_the_channel_is_read(driver: Driver, tmp_path: Path) -> None:
    def add_a_class(opt_ml: Path) -> None:
        rows = "bamboo,90,90,90,90\n" * 50
        (opt_ml / "input" / "data" / "training" / "more.csv").write_text(rows)
        (opt_ml / "input" / "config" / "hyperparameters.json").write_text(json.dumps({}))

    code, log = train(driver, tmp_path / "ml", add_a_class)
    assert code == 0, log
    handle = serve(driver, tmp_path / "ml", "bamboo")
    try:
        assert ask(handle, "POST", "/invocations", b"90,90,90,90", CSV)[2] == b"bamboo\n"
    finally:
        driver.stop(handle, 5)


def test_a_csv_is_answered_with_one_label_per_line(endpoint: Handle) -> None:
    reply = ask(endpoint, "POST", "/invocations", b"5.1,3.5,1.4,0.2\n6.3,3.3,6.0,2.5\n", CSV)

    assert reply == (200, "text/csv; charset=utf-8", b"setosa\nvirginica\n")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ping", 200),
        ("POST", "/ping", 405),
        ("GET", "/invocations", 405),
        ("GET", "/", 404),
        ("GET", "/models", 404),
        ("POST", "/invocation", 404),
    ],
)
def test_routes_and_methods_are_those_of_the_classic_container(
    endpoint: Handle, method: str, path: str, status: int
) -> None:
    found, _, body = ask(endpoint, method, path)

    assert found == status
    assert status != 404 or body == b"{}"


@pytest.mark.parametrize("content_type", ["text/csv; charset=utf-8", "application/json", "multipart/form-data", ""])
def test_any_type_but_exactly_text_csv_is_refused(endpoint: Handle, content_type: str) -> None:
    assert ask(endpoint, "POST", "/invocations", b"5.1,3.5,1.4,0.2", content_type)[0] == 415


@pytest.mark.parametrize("body", [b"", b"5.1,3.5", b"5.1,3.5,1.4,many", b"1\n1,2\n"])
def test_a_csv_that_cannot_be_used_is_an_internal_error_in_html(endpoint: Handle, body: bytes) -> None:
    status, content_type, page = ask(endpoint, "POST", "/invocations", body, CSV)

    assert (status, content_type) == (500, "text/html; charset=utf-8")
    assert b"<h1>Internal Server Error</h1>" in page


def test_a_body_over_5_mb_is_refused_by_nginx(endpoint: Handle) -> None:
    status, _, page = ask(endpoint, "POST", "/invocations", b"0" * 5_557_452, CSV)

    assert status == 413
    assert b"nginx" in page


def test_two_of_them_serve_side_by_side_although_port_and_socket_are_fixed(
    driver: Driver, endpoint: Handle, trained: Path
) -> None:
    other = serve(driver, trained, "other")
    try:
        for handle in (endpoint, other):
            assert ask(handle, "POST", "/invocations", b"5.1,3.5,1.4,0.2", CSV)[2] == b"setosa\n"
        assert (endpoint.host, endpoint.port) != (other.host, other.port)
    finally:
        driver.stop(other, 5)


def test_without_a_model_ping_is_500(driver: Driver, tmp_path: Path) -> None:
    handle = serve(driver, tmp_path / "ml", "empty", until=500)
    driver.stop(handle, 5)


def test_on_sigterm_it_ends_at_once_with_0(driver: Driver, trained: Path) -> None:
    handle = serve(driver, trained, "ending")
    driver.stop(handle, 30)
    ended = driver.wait(handle, 10)

    assert ended is not None
    assert ended.code == 0  # 137 where it did not end by itself


def test_when_gunicorn_cannot_start_the_container_ends_with_0(driver: Driver, tmp_path: Path) -> None:
    workload = Workload(name="broken", image="classic", opt_ml=tmp_path / "ml", arguments=("serve",), port=8080)
    handle = driver.start(replace(workload, environment={"GUNICORN_CMD_ARGS": "--config /nowhere.py"}))
    ended = driver.wait(handle, 60)
    driver.stop(handle, 0)

    assert ended is not None
    assert ended.code == 0
