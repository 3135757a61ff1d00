"""What is answered while the model loads: the port is open, and nobody who connects is lost."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from container_process import Container, soon

GATED = """
import pathlib, time
HERE = pathlib.Path({root!r})
def model_fn(model_dir):
    (HERE / "loading").touch()
    while not (HERE / "go").exists():
        time.sleep(0.01)
def predict_fn(data, model):
    return data
"""
WAYS = {
    "before the fork": {},
    "in each of two workers": {"SEAPROOF_LOAD": "worker", "SAGEMAKER_MODEL_SERVER_WORKERS": "2"},
}


def loading(container: Container, **environment: str) -> Container:
    """A container in the midst of its model_fn."""
    container.start(GATED.format(root=str(container.root)), **environment)
    soon((container.root / "loading").exists)
    return container


def go_on(container: Container) -> None:
    (container.root / "go").touch()
    soon(lambda: "ready after" in container.log)


@pytest.mark.parametrize("environment", WAYS.values(), ids=WAYS)
def test_ping_says_504_until_the_model_is_loaded(container: Container, environment: dict[str, str]) -> None:
    loading(container, **environment)
    ping = container.get("/ping")
    invoked = container.invoke(b"1," * 400_000)
    head = container.send("HEAD", "/ping")

    assert (ping.status, ping.json["error"], ping.headers["connection"]) == (504, "the model is loading", "close")
    assert "until it answers 200" in ping.json["next_step"]
    assert (invoked.status, invoked.headers["retry-after"]) == (503, "1")
    assert (head.status, head.body) == (504, b"")

    go_on(container)
    assert {container.get("/ping").status for _ in range(20)} == {200}
    assert container.invoke("5").body == b"[[5.0]]"


@pytest.mark.parametrize("environment", WAYS.values(), ids=WAYS)
def test_no_connection_is_lost_when_the_workers_take_over(container: Container, environment: dict[str, str]) -> None:
    loading(container, **environment)
    early = [socket.create_connection(("127.0.0.1", container.port)) for _ in range(5)]  # say nothing before the end
    seen: list[list[int]] = [[] for _ in range(4)]
    done = threading.Event()

    def ask(statuses: list[int]) -> None:
        while not done.is_set():
            statuses.append(container.get("/ping").status)  # raises where a connection breaks

    threads = [threading.Thread(target=ask, args=(statuses,)) for statuses in seen]
    for thread in threads:
        thread.start()
    soon(lambda: all(len(statuses) > 5 for statuses in seen))
    (container.root / "go").touch()
    soon(lambda: all(statuses.count(200) > 5 for statuses in seen))
    done.set()
    for thread in threads:
        thread.join()
    for connection in early:
        connection.close()

    for statuses in seen:
        first = statuses.index(200)
        assert set(statuses[:first]) == {504}
        assert set(statuses[first:]) == {200}


def test_a_container_that_cannot_load_frees_its_port_at_once(container: Container) -> None:
    container.start("def model_fn(model_dir):\n    raise RuntimeError('no such luck')\n")

    assert container.wait() == 1
    container.start("def predict_fn(data, model):\n    return data\n")
    soon(container.answers)


def test_it_ends_with_a_master_that_is_killed(container: Container) -> None:
    loading(container)
    (herald,) = container.workers()
    assert container.process is not None
    container.process.kill()
    container.process.wait()

    soon(lambda: not _lives(herald))


def test_nothing_of_it_is_left_when_the_model_is_loaded(container: Container) -> None:
    container.serve("def predict_fn(data, model):\n    return data\n")

    soon(lambda: len(container.workers()) == 1)
    assert container.invoke("1").body == b"[[1.0]]"


def _lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
