"""GET /metrics: in a form that Prometheus reads, right across workers, and across their deaths."""

from __future__ import annotations

import os
import signal
import socket

import pytest
from container_process import Container, reply_on, soon
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from seaproof.serving import metrics
from seaproof.serving.exposition import render

ECHO = """
import os, time
def transform_fn(model, data, content_type, accept):
    if data == "fail":
        raise ValueError("no")
    if data.startswith("sleep"):
        time.sleep(float(data[5:]))
    return data
"""
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: str) -> Samples:
    """All samples, by name and labels; the parser refuses what Prometheus would."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        assert family.type in ("counter", "gauge", "histogram"), family.name
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def scrape(container: Container) -> Samples:
    reply = container.get("/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return read(reply.body.decode())


def count(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((f"seaproof_{name}", tuple(sorted(labels.items()))), 0)


def invocations(container: Container) -> float:
    return count(scrape(container), "requests_total", route="/invocations", status="200")


def test_requests_are_counted_by_route_and_status(container: Container) -> None:
    container.serve(ECHO)
    pings = count(scrape(container), "requests_total", route="/ping", status="200")
    for body in ("12", "345", "fail"):
        container.invoke(body)
    container.get("/ping")
    container.get("/no/such/path")
    container.get("/another")

    seen = scrape(container)

    assert count(seen, "requests_total", route="/invocations", status="200") == 2
    assert count(seen, "requests_total", route="/invocations", status="500") == 1
    assert count(seen, "requests_total", route="/ping", status="200") == pings + 1
    assert count(seen, "requests_total", route="other", status="404") == 2
    assert count(seen, "requests_total", route="/metrics", status="200") == 1
    assert count(seen, "request_bytes_total") == 9
    assert count(seen, "request_seconds_count", route="/invocations") == 3
    assert count(seen, "queue_seconds_count") == 3
    assert count(seen, "requests_in_flight") == 0


def test_time_in_the_queue_and_in_all_is_measured(container: Container) -> None:
    container.serve(ECHO)
    with container.standing_still():  # both are there when it goes on: one of them waits for the other
        both = [container.ask("sleep0.3") for _ in range(2)]
    for connection in both:
        reply_on(connection)

    seen = scrape(container)

    assert count(seen, "queue_seconds_sum") > 0.25
    assert count(seen, "request_seconds_sum", route="/invocations") > 0.85
    assert count(seen, "request_seconds_bucket", route="/invocations", le="0.25") == 0
    assert count(seen, "request_seconds_bucket", route="/invocations", le="+Inf") == 2


def test_any_worker_tells_the_sum_of_all_and_nothing_is_lost_when_one_dies(container: Container) -> None:
    container.serve(ECHO, SAGEMAKER_MODEL_SERVER_WORKERS="2")
    for number in range(30):
        container.invoke(str(number))
    soon(lambda: invocations(container) == 30)
    before = scrape(container)
    for pid in container.workers():
        os.kill(pid, signal.SIGKILL)
    soon(lambda: len(container.workers()) == 2 and container.answers())
    for number in range(10):
        container.invoke(str(number))

    soon(lambda: invocations(container) == 40)
    seen = {invocations(container) for _ in range(8)}
    soon(lambda: count(scrape(container), "workers") == 2 == count(scrape(container), "worker_deaths_total"))
    soon(lambda: count(scrape(container), "requests_in_flight") == 0)

    assert seen == {40}
    assert count(before, "worker_deaths_total") == 0
    assert count(scrape(container), "worker_deaths_total") == 2


def test_what_was_in_flight_on_a_dead_worker_is_no_longer_in_flight(container: Container) -> None:
    container.serve(ECHO, SAGEMAKER_MODEL_SERVER_WORKERS="1")
    with socket.create_connection(("127.0.0.1", container.port)) as wire:
        wire.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: 8\r\n\r\nsleep 30"
        )
        soon(lambda: count(scrape(container), "requests_in_flight") == 1)

        os.kill(container.workers()[0], signal.SIGKILL)
        soon(container.answers)

        soon(lambda: count(scrape(container), "requests_in_flight") == 0)


def test_memory_and_the_load_of_the_model_are_told(container: Container) -> None:
    container.serve(
        "import time\ndef model_fn(model_dir):\n    time.sleep(0.2)\n    return bytearray(b'x' * 50_000_000)\n"
        "def predict_fn(data, model):\n    return [len(model)]\n",
        SAGEMAKER_MODEL_SERVER_WORKERS="2",
    )

    seen = scrape(container)

    assert 0.2 < count(seen, "model_load_seconds") < 5
    assert 50_000_000 < count(seen, "model_bytes", process="master") < 100_000_000
    assert count(seen, "models_loaded", process="master") == 1
    total = 0.0
    for process in ("master", "worker-1", "worker-2"):
        assert count(seen, "memory_bytes", process=process, kind="pss") > 0
        total += count(seen, "memory_bytes", process=process, kind="pss")
    assert count(seen, "memory_bytes", process="master", kind="rss") > 50_000_000
    assert total < 2 * 100_000_000  # the model is there once, not three times


def test_a_broken_stream_and_a_refused_request_are_counted(container: Container) -> None:
    container.serve("def transform_fn(model, data, content_type, accept):\n    yield 'a'\n    raise OSError('no')\n")
    with socket.create_connection(("127.0.0.1", container.port)) as wire:
        wire.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        while wire.recv(1000):
            pass
    with socket.create_connection(("127.0.0.1", container.port)) as wire:
        wire.sendall(b"nonsense\r\n\r\n")
        assert wire.recv(1000).startswith(b"HTTP/1.1 400")

    seen = scrape(container)

    assert count(seen, "streams_broken_off_total") == 1
    assert count(seen, "refused_total") == 1


def test_a_board_without_counts_is_readable_and_has_what_rates_are_made_of() -> None:
    seen = read(render(metrics.Board(2)))

    assert seen["seaproof_requests_total", (("route", "/invocations"), ("status", "200"))] == 0
    assert count(seen, "queue_depth") == count(seen, "workers") == 0


@given(
    st.lists(
        st.tuples(
            st.integers(1, 3),
            st.sampled_from(("/invocations", "/models/a/invoke", "/models/a", "/models/a/b/c", "/x")),
            st.integers(100, 999),
            st.floats(0, 100),
        ),
        max_size=30,
    ),
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 100_000), st.integers(1, 500)), max_size=10),
)
def test_what_workers_count_adds_up(
    answers: list[tuple[int, str, int, float]], batches: list[tuple[int, int, int]]
) -> None:
    board = metrics.Board(3)
    for row, path, status, seconds in answers:
        board.meter(row).requests(path, status, [seconds])
    for row, rows, requests in batches:
        board.meter(row).batch(rows, requests)

    seen = read(render(board))

    assert sum(value for (name, _), value in seen.items() if name == "seaproof_requests_total") == len(answers)
    assert sum(v for (name, _), v in seen.items() if name == "seaproof_request_seconds_count") == len(answers)
    assert count(seen, "request_seconds_count", route="other") == sum(
        p in ("/x", "/models/a/b/c") for _, p, _, _ in answers
    )
    assert count(seen, "batch_rows_sum") == sum(rows for _, rows, _ in batches)
    assert count(seen, "batch_requests_count") == len(batches)
    for bound in metrics.SIZES:
        assert count(seen, "batch_rows_bucket", le=str(bound)) == sum(rows <= bound for _, rows, _ in batches)
    for bound in metrics.SECONDS:
        within = sum(s <= bound for _, path, _, s in answers if path == "/models/a/invoke")
        assert count(seen, "request_seconds_bucket", route="/models/{name}/invoke", le=str(bound)) == within


@given(st.lists(st.lists(st.sampled_from((*metrics.SECONDS, 0.0, 0.3, 61.0)) | st.floats(0, 100))))
def test_times_counted_in_bunches_are_counted_one_by_one(bunches: list[list[float]]) -> None:
    board = metrics.Board(2)
    for bunch in bunches:
        for seconds in bunch:
            board.meter(2).queued([seconds])
        board.meter(1).queued(list(bunch))

    together, alone = board.read()[1:3]
    start = metrics.QUEUED
    assert together[start:-1][: len(metrics.SECONDS) + 1] == alone[start:-1][: len(metrics.SECONDS) + 1]
    assert together[start + len(metrics.SECONDS) + 1] == pytest.approx(alone[start + len(metrics.SECONDS) + 1])


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/models", "/models"),
        ("/models/a", "/models/{name}"),
        ("/models/a/invoke", "/models/{name}/invoke"),
        ("/models/a/b", "other"),
        ("/modelsa", "other"),
        ("/", "other"),
    ],
)
def test_paths_of_models_share_a_label(path: str, route: str) -> None:
    board = metrics.Board(1)
    board.meter(1).requests(path, 200, [0.1])

    assert count(read(render(board)), "requests_total", route=route, status="200") == 1


def test_batches_and_the_queue_are_told_by_module_functions() -> None:
    metrics.start(1)
    metrics.observe_batch(10, 4)
    metrics.observe_batch(1, 1)
    metrics.set_queue_depth(7)

    seen = read(render(metrics.board()))

    assert (count(seen, "batch_rows_sum"), count(seen, "batch_requests_sum")) == (11, 5)
    assert count(seen, "queue_depth") == 7
