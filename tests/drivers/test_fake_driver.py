"""What the fake driver adds to the contract: programs as callables, and scripts in image references."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest

from seaproof.drivers.driver import Exit, Handle, Workload
from seaproof.drivers.fake import FakeDriver, Program, Run
from seaproof.errors import ImageNotFound
from seaproof.http.message import Request, Response
from seaproof.testing.driver_contract import answers, eventually


def _workload(folder: Path, image: str, *arguments: str, port: int | None = None) -> Workload:
    return Workload(name="one", image=image, opt_ml=folder / "ml", arguments=arguments, port=port)


def _post(handle: Handle, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(handle.host or "", handle.port, timeout=5)
    try:
        connection.request("POST", "/invocations", body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_a_callable_plays_the_training_job(tmp_path: Path) -> None:
    def train(run: Run) -> int:
        run.log("training")
        (run.opt_ml / "model").mkdir(parents=True)
        (run.opt_ml / "model" / "weights").write_text("1")
        return 3

    driver = FakeDriver(tmp_path, {"mine:1": Program(train=train)})
    handle = driver.start(_workload(tmp_path, "mine:1", "train"))

    assert driver.wait(handle, 5) == Exit(3)
    assert b"".join(driver.logs(handle, follow=True)) == b"training\n"
    assert (tmp_path / "ml/model/weights").read_text() == "1"
    driver.stop(handle, 0)


def test_a_callable_that_raises_ends_with_1_and_its_message_in_the_log(tmp_path: Path) -> None:
    def train(run: Run) -> int:
        raise ValueError("no such column")

    driver = FakeDriver(tmp_path, {"mine": Program(train=train)})
    handle = driver.start(_workload(tmp_path, "mine", "train"))

    assert driver.wait(handle, 5) == Exit(1)
    assert b"ValueError: no such column" in b"".join(driver.logs(handle))
    driver.stop(handle, 0)


def test_a_callable_that_traps_sigterm_may_end_in_its_own_way(tmp_path: Path) -> None:
    def train(run: Run) -> int:
        terminated = run.trap()
        run.log("ready")
        terminated.wait()
        (run.opt_ml.parent / "saved").write_text("yes")
        return 0

    driver = FakeDriver(tmp_path, {"mine": Program(train=train)})
    handle = driver.start(_workload(tmp_path, "mine", "train"))
    next(driver.logs(handle, follow=True))
    driver.stop(handle, 5)

    assert (tmp_path / "saved").read_text() == "yes"


def test_a_callable_answers_invocations(tmp_path: Path) -> None:
    def serve(run: Run, request: Request) -> Response:
        return Response(201, [(b"x-mine", b"1")], request.body.upper())

    driver = FakeDriver(tmp_path, {"mine": Program(serve=serve)})
    handle = driver.start(_workload(tmp_path, "mine", "serve", port=8080))

    eventually(lambda: answers(handle, b"ABC"), "an answer")
    assert _post(handle, b"abc") == (201, b"ABC")
    driver.stop(handle, 0)
    with pytest.raises(ConnectionRefusedError):
        _post(handle, b"abc")


def test_an_image_that_nobody_registered_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound, match="nobody"):
        FakeDriver(tmp_path).start(_workload(tmp_path, "nobody", "train"))
