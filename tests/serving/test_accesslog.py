"""The access log: which requests have a line, what is in it, and that it holds up nobody."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from time import monotonic
from typing import Any

import pytest
from container_process import Container, soon

from seaproof.contract.environ import ServingEnviron
from seaproof.errors import ContractError
from seaproof.serving.accesslog import pieces

ECHO = """
import time
def transform_fn(model, data, content_type, accept):
    if data == "fail":
        raise ValueError("no")
    if data == "sleep":
        time.sleep(0.2)
    return data
"""


def lines(container: Container) -> list[dict[str, Any]]:
    return [json.loads(line) for line in container.log.splitlines() if line.startswith("{")]


@pytest.mark.parametrize(
    ("setting", "seen"),
    [
        ("off", []),
        ("false", []),
        ("", ["/invocations 500", "/nowhere 404"]),
        ("errors", ["/invocations 500", "/nowhere 404"]),
        ("on", ["/invocations 200", "/invocations 500", "/nowhere 404"]),
        ("True", ["/invocations 200", "/invocations 500", "/nowhere 404"]),
        ("all", ["/ping 200", "/invocations 200", "/invocations 500", "/nowhere 404", "/ping 200"]),
    ],
)
def test_the_variable_says_which_requests_have_a_line(container: Container, setting: str, seen: list[str]) -> None:
    container.serve(ECHO, SEAPROOF_ACCESS_LOG=setting)
    container.invoke("1")
    container.invoke("fail")
    container.get("/nowhere")
    container.get("/ping")

    assert container.stop() == 0  # what was gathered is written before the end
    logged = [f"{line['path']} {line['status']}" for line in lines(container)]
    while logged[:2] == ["/ping 200"] * 2:  # however many it took until the container was there
        del logged[0]
    assert logged == seen


def test_a_setting_that_there_is_not_is_refused() -> None:
    with pytest.raises(ContractError, match="SEAPROOF_ACCESS_LOG is 'some'"):
        ServingEnviron.read({"SEAPROOF_ACCESS_LOG": "some"})


def test_a_line_says_what_came_what_went_and_how_long_it_took(container: Container) -> None:
    container.serve(ECHO, SEAPROOF_ACCESS_LOG="on")
    began = monotonic()
    container.invoke(
        "sleep",
        X_Amzn_SageMaker_Inference_Id='an "id"',
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )

    (line,) = soon(lambda: lines(container))

    time = datetime.strptime(line.pop("time"), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    assert abs(datetime.now(timezone.utc) - time) < timedelta(seconds=60)
    assert 0 <= line.pop("queue_ms") + 200 <= (took := line.pop("duration_ms"))
    assert took < 1000 * (monotonic() - began)
    assert line == {
        "method": "POST",
        "path": "/invocations",
        "status": 200,
        "bytes_in": 5,
        "bytes_out": 5,
        "inference_id": 'an "id"',
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "worker": 1,
    }


def test_what_a_caller_makes_up_stays_one_line_of_json(container: Container) -> None:
    container.serve(ECHO)
    container.get('/%0A{"forged":1}' + "x" * 5000)
    container.invoke("fail", traceparent="00-nonsense-01", X_Amzn_SageMaker_Inference_Id="i" * 1000)

    first, second = soon(lambda: found if len(found := lines(container)) == 2 else None)

    assert first["path"].startswith('/\n{"forged":1}xxx')
    assert len(first["path"]) == 256
    assert second["inference_id"] == "i" * 64
    assert "trace_id" not in second


def test_a_stream_that_broke_off_is_an_error_although_its_status_is_200(container: Container) -> None:
    container.serve("def transform_fn(model, data, content_type, accept):\n    yield 'abc'\n    raise OSError('no')\n")
    with socket.create_connection(("127.0.0.1", container.port)) as wire:
        wire.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        while wire.recv(1000):
            pass

    (line,) = soon(lambda: lines(container))

    assert (line["status"], line["bytes_out"], line["complete"]) == (200, 3, False)


def test_lines_of_several_workers_are_never_mixed(container: Container) -> None:
    container.serve(ECHO, SEAPROOF_ACCESS_LOG="on", SAGEMAKER_MODEL_SERVER_WORKERS="2")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: container.invoke("1", X_Amzn_SageMaker_Inference_Id=f"{number:064}"), range(400)))
    assert container.stop() == 0

    logged = lines(container)

    assert {int(line["inference_id"]) for line in logged} == set(range(400))
    assert {line["worker"] for line in logged} == {1, 2}


def test_bunches_are_made_for_a_pipe_and_no_line_is_cut() -> None:
    given = [b"x" * size + b"\n" for size in (10, 4000, 90, 4095, 5000, 1, 1)]

    made = pieces(given)

    assert b"".join(made) == b"".join(given)
    assert all(piece.endswith(b"\n") for piece in made)
    assert all(len(piece) <= 4096 or piece.count(b"\n") == 1 for piece in made)
    assert len(made) == 5
    assert pieces([]) == []


def test_a_reader_that_stands_still_holds_up_no_request(container: Container) -> None:
    read, write = os.pipe()
    environ = {**os.environ, "SEAPROOF_ACCESS_LOG": "all"}
    container.start(ECHO)
    assert container.stop() is not None
    process = container.process
    assert process is not None
    # The same command again, its standard output a pipe that nobody reads.
    container.process = subprocess.Popen(
        process.args, cwd=container.root, env={**environ, **_own(container)}, stdout=write
    )
    os.close(write)
    soon(container.answers)

    with ThreadPoolExecutor(8) as pool:
        statuses = set(pool.map(lambda _: container.invoke("1").status, range(800)))

    assert statuses == {200}
    os.close(read)
    assert container.get("/ping").status == 200


def _own(container: Container) -> dict[str, str]:
    from container_process import SOURCE

    return {
        "PYTHONPATH": str(SOURCE),
        "SAGEMAKER_BASE_DIR": str(container.root / "ml"),
        "SAGEMAKER_BIND_TO_PORT": str(container.port),
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
    }
