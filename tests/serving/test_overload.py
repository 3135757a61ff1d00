"""Overload: a bounded queue, 503 beyond it at once, nobody predicted for nothing, nobody starved by the slow."""

from __future__ import annotations

import asyncio
import resource
import time
from pathlib import Path

import pytest
from batch_lab import GATED, converse, gated, half_open, value
from container_process import Container, soon

ASYNC = (
    GATED.replace("def predict_fn", "async def predict_fn")
    .replace("time.sleep", "await asyncio.sleep")
    .replace("import os", "import asyncio, os")
)
SCRIPTS = {"plain": GATED, "batched": "batch = True\n" + GATED, "async": ASYNC}


@pytest.mark.parametrize("kind", SCRIPTS)
def test_what_the_queue_has_no_room_for_is_503_at_once(container: Container, kind: str) -> None:
    with gated(container, SCRIPTS[kind], SEAPROOF_QUEUE="3") as lab:
        waiting = [lab.send_first("1,2"), *lab.send(["3,4", "5,6"])]

        refused = [container.invoke("7,8") for _ in range(5)]  # while the gate is shut

        assert {reply.status for reply in refused} == {503}
        assert refused[0].headers["retry-after"] == "1"
        assert refused[0].headers["content-type"] == "application/json"
        assert refused[0].json["error"] == "this worker is overloaded: 3 requests wait for the model already"
        assert "SEAPROOF_QUEUE" in refused[0].json["next_step"]
        assert container.get("/ping").status == 200
        lab.open()
        assert [value(reply.result()) for reply in waiting] == [3, 7, 11]
        assert container.invoke("7,8").status == 200
        assert container.log.count("requests are answered 503") == 1


@pytest.mark.parametrize("kind", SCRIPTS)
def test_bodies_that_wait_are_bounded_by_their_bytes_too(container: Container, kind: str) -> None:
    large = "1,2\n" * 150_000
    with gated(container, SCRIPTS[kind], SEAPROOF_QUEUE_MB="1") as lab:
        first = lab.send_first(large)

        refused = container.invoke(large)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        (small,) = lab.send(["1,2"])
        lab.open()

        assert (first.result().status, small.result().status) == (200, 200)
        assert container.invoke(large + large).status == 200  # more than may wait, but nothing waits


@pytest.mark.parametrize("kind", SCRIPTS)
def test_callers_that_leave_make_room_and_are_never_predicted(container: Container, kind: str) -> None:
    with gated(container, SCRIPTS[kind], SEAPROOF_QUEUE_MB="1") as lab:
        first = lab.send_first("1,2")
        (leaves,) = half_open(container.port, [_post(b"1,2\n" * 200_000)])
        for _ in range(20):  # the server reads a large body in some turns of its loop
            container.get("/ping")
        assert container.invoke("1,2\n" * 150_000).status == 503

        leaves.close()
        for _ in range(2):
            container.get("/ping")
        (second,) = lab.send(["1,2\n" * 150_000])
        lab.open()

        assert (first.result().status, second.result().status) == (200, 200)
        if kind != "async":  # there it began at once
            assert lab.seen == [1, 150_000]


@pytest.mark.parametrize("kind", ["plain", "batched"])
def test_requests_whose_time_is_over_are_answered_504_and_never_predicted(container: Container, kind: str) -> None:
    with gated(container, SCRIPTS[kind], SAGEMAKER_MODEL_SERVER_TIMEOUT="1") as lab:
        late = [lab.send_first("1,2"), *lab.send(["3,4\n3,4", "5,6\n5,6", "7,8\n7,8"])]

        assert [reply.result().status for reply in late] == [504] * 4
        lab.open()
        # Until the first of them has ended, the worker refuses what comes: it may be one that never does.
        reply = soon(lambda: found if (found := container.invoke("9,9")).status == 200 else None)

        assert value(reply) == [18]
        assert set(lab.seen) == {1}  # those that waited had two rows each


@pytest.mark.parametrize("kind", SCRIPTS)
def test_slow_and_half_open_connections_starve_nobody(container: Container, kind: str) -> None:
    with gated(container, SCRIPTS[kind]) as lab:
        lab.open()
        silent = half_open(container.port, [b""] * 100)
        heads = half_open(container.port, [b"POST /invocations HTTP/1.1\r\nHost: x\r\nX-Slow: "] * 100)
        bodies = half_open(container.port, [_post(b"1,2\n" * 100)[:-300]] * 100)

        async def load() -> list[float]:
            took = []
            for number in range(100):
                for slow in (heads[number], bodies[number]):
                    slow.sendall(b"1")
                began = time.monotonic()
                replies = await converse(container.port, [(b"%d,1" % number, "text/csv", "text/csv")] * 3)
                took.append(time.monotonic() - began)
                assert replies == [(200, b"%d.0\n" % (number + 1))] * 3 or number == 13
            return sorted(took)

        took = asyncio.run(load())
        assert took[50] < 1  # a few milliseconds; one that had to wait for the slow would wait for good
        assert container.get("/ping").status == 200
        for connection in [*silent, *heads, *bodies]:
            connection.close()
        assert container.invoke("1,2").status == 200


def test_a_worker_may_have_as_many_open_files_as_the_system_grants(container: Container) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = max(int(file.name) for file in Path("/proc/self/fd").iterdir()) + 64  # more than this process has
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(few, before[1]), before[1]))
    try:
        container.serve("def predict_fn(data, model):\n    return data\n")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    limits = Path(f"/proc/{container.workers()[0]}/limits").read_text().splitlines()
    (soft,) = (line.split()[3] for line in limits if line.startswith("Max open files"))
    assert int(soft) == min(65536, before[1] if before[1] != resource.RLIM_INFINITY else 65536)


def _post(body: bytes) -> bytes:
    return b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )
