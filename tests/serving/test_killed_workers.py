"""Workers that are killed: who was waiting on them is answered 503, and nobody else notices."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from container_process import Container, soon
from soak_client import answer, children, post

from seaproof.serving.guardian import ON_ITS_WAY

PID = "import os\ndef transform_fn(model, data, content_type, accept):\n    return str(os.getpid())\n"


def lines_of_the_gone(container: Container) -> list[dict[str, Any]]:
    """Those of the access log that were written for a worker that is gone."""
    return [json.loads(line) for line in container.log.splitlines() if '"worker_gone":true' in line]


def test_a_worker_killed_under_load_costs_the_requests_in_flight_on_it_a_503_and_no_others(
    container: Container,
) -> None:
    container.serve(PID, SAGEMAKER_MODEL_SERVER_WORKERS="2")
    dead: list[int] = []
    killed_at: list[float] = []
    right = [0]

    async def one(number: int) -> list[tuple[int, int]]:
        """What came on one connection that is kept: status, and the worker that says so; 0 where it just ended."""
        reader, writer = await asyncio.open_connection("127.0.0.1", container.port)
        came = []
        for _ in range(300):
            writer.write(post("/invocations", "1", "text/csv", "text/csv"))
            sent_at = time.monotonic()
            try:
                status, body = await asyncio.wait_for(answer(reader), 20)
            except (asyncio.IncompleteReadError, ConnectionError):
                # It was idle, and this client was too late for the 503: the machine kept it waiting.
                assert sent_at > killed_at[0] + ON_ITS_WAY
                came.append((0, 0))
                break
            came.append((status, int(body) if status == 200 else 0))
            if status != 200:
                assert json.loads(body)["error"] == "the worker that had this request ended before it could answer"
                break
            right[0] += 1
            if right[0] == 2000:
                dead.append(came[-1][1])
                killed_at.append(time.monotonic())
                os.kill(dead[0], signal.SIGKILL)
        writer.close()
        return came

    async def load() -> list[list[tuple[int, int]]]:
        return await asyncio.gather(*(one(number) for number in range(32)))

    talks = asyncio.run(load())

    lost = [talk for talk in talks if talk[-1][0] == 503]
    ended = [talk for talk in talks if talk[-1][0] == 0]
    untouched = [talk for talk in talks if talk not in lost and talk not in ended]
    assert lost
    assert all({pid for status, pid in talk if status == 200} <= set(dead) for talk in lost + ended)
    assert all(len(talk) == 300 and {status for status, _ in talk} == {200} for talk in untouched)
    assert soon(lambda: f"{len(lost)} requests that were in flight on it were answered 503" in container.log)
    soon(lambda: len(container.workers()) == 2)


def test_requests_in_flight_on_a_killed_worker_get_503_and_those_of_another_their_answer(container: Container) -> None:
    container.serve(
        "import os, pathlib, time\ndef transform_fn(model, data, content_type, accept):\n"
        "    folder = pathlib.Path(data)\n    (folder / f'on-{os.getpid()}').touch()\n"
        "    while not (folder / 'go').exists():\n        time.sleep(0.01)\n    return str(os.getpid())\n",
        SAGEMAKER_MODEL_SERVER_WORKERS="2",
    )
    waiting = [container.ask(str(container.root)) for _ in range(48)]  # so many that both workers have some
    soon(lambda: len(list(container.root.glob("on-*"))) == 2)
    dead, other = container.workers()

    os.kill(dead, signal.SIGKILL)
    soon(lambda: len(container.workers()) == 2 and dead not in container.workers())
    (container.root / "go").touch()
    replies = [connection.getresponse() for connection in waiting]
    outcomes = [(reply.status, reply.getheader("Retry-After"), reply.read().decode()) for reply in replies]
    for connection in waiting:
        connection.close()

    assert {status for status, _, _ in outcomes} == {200, 503}
    # What no worker had taken yet is answered by the new one.
    assert {str(other)} <= {text for status, _, text in outcomes if status == 200} <= set(map(str, container.workers()))
    assert {after for status, after, _ in outcomes if status == 503} == {"1"}


def test_an_answer_that_had_begun_breaks_off_with_its_worker_and_gets_no_503_into_it(container: Container) -> None:
    container.serve(
        "import os, time\ndef transform_fn(model, data, content_type, accept):\n"
        "    yield b'begun'\n    time.sleep(30)\n"
    )
    connection = container.ask("1")
    reply = connection.getresponse()
    assert reply.read1() == b"begun"

    os.kill(container.workers()[0], signal.SIGKILL)

    with pytest.raises(http.client.IncompleteRead):
        reply.read()
    connection.close()


def test_an_idle_connection_of_a_killed_worker_just_ends(container: Container) -> None:
    container.serve(PID)
    with socket.create_connection(("127.0.0.1", container.port), timeout=20) as connection:
        connection.sendall(post("/invocations", "1", "text/csv", "text/csv"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")

        os.kill(container.workers()[0], signal.SIGKILL)

        assert connection.recv(65536) == b""


def test_what_a_worker_had_not_read_yet_when_it_was_killed_gets_503(container: Container) -> None:
    container.serve(PID)
    with socket.create_connection(("127.0.0.1", container.port), timeout=20) as connection:
        connection.sendall(post("/invocations", "1", "text/csv", "text/csv"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        (pid,) = container.workers()
        os.kill(pid, signal.SIGSTOP)
        connection.sendall(post("/invocations", "1", "text/csv", "text/csv"))

        os.kill(pid, signal.SIGKILL)

        assert connection.recv(65536).startswith(b"HTTP/1.1 503")


def test_what_was_answered_for_a_killed_worker_is_in_the_metrics_and_the_access_log(container: Container) -> None:
    container.serve("import time\ndef transform_fn(model, data, content_type, accept):\n    time.sleep(30)\n")
    waiting = [container.ask("1") for _ in range(3)]
    with socket.create_connection(("127.0.0.1", container.port), timeout=20) as late:
        late.sendall(b"GET /ping HTTP/1.1\r\nHost: t\r\n\r\n")
        assert late.recv(65536).startswith(b"HTTP/1.1 200")
        soon(lambda: b"seaproof_requests_in_flight 3\n" in container.get("/metrics").body)
        (pid,) = container.workers()
        os.kill(pid, signal.SIGSTOP)
        late.sendall(b"GET /ping?x=1 HTTP/1.1\r\nHost: t\r\n\r\n")  # one that the worker never reads

        os.kill(pid, signal.SIGKILL)
        replies = [connection.getresponse() for connection in waiting]
        told = late.recv(65536)
    sizes = [len(reply.read()) for reply in replies]
    for connection in waiting:
        connection.close()
    lines = soon(lambda: (found := lines_of_the_gone(container))[3:] and found)
    soon(container.answers)
    seen = container.get("/metrics").body.decode()

    assert {reply.status for reply in replies} == {503}
    assert told.startswith(b"HTTP/1.1 503")
    assert [(line["method"], line["path"], line["status"]) for line in lines[:3]] == [("POST", "/invocations", 503)] * 3
    assert (lines[3]["method"], lines[3]["path"], lines[3]["worker"]) == ("GET", "/ping", 1)
    assert {line["bytes_out"] for line in lines} == set(sizes)
    assert 'seaproof_requests_total{route="/invocations",status="503"} 3' in seen
    assert 'seaproof_requests_total{route="/ping",status="503"} 1' in seen
    assert "seaproof_worker_deaths_total 1" in seen


def test_nothing_stays_behind_when_a_container_ends(container: Container) -> None:
    container.serve(PID, SAGEMAKER_MODEL_SERVER_WORKERS="2")
    family = [*container.workers(), *(guardian for pid in container.workers() for guardian in children(pid))]
    assert len(family) == 4

    assert container.stop() == 0

    assert not [pid for pid in family if Path(f"/proc/{pid}").exists()]
