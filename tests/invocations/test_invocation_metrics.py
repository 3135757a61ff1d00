"""Counts of invocations: what is counted when, and the text that Prometheus reads."""

from __future__ import annotations

import re
import threading

from seaproof.errors import HttpError
from seaproof.invocations.chain import Call, Step, StepFailed, StepTrace, Trace
from seaproof.invocations.metrics import BUCKETS, Metrics


def a_trace(*statuses: int, seconds: float = 0.02) -> Trace:
    return Trace([StepTrace(f"c{n}", "", 0, status, total=seconds) for n, status in enumerate(statuses, 1)])


def a_failure(trace: Trace, error: HttpError | None = None) -> StepFailed:
    number = len(trace.steps) - 1
    step = Step(trace.steps[-1].name, "127.0.0.1", 1)
    return StepFailed(trace, number, step, Call("127.0.0.1", 1, [], b"", 1.0, 1), error=error)


def samples(metrics: Metrics) -> dict[str, float]:
    lines = [line for line in metrics.text().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_a_request_counts_once_and_each_container_has_its_time():
    metrics = Metrics()

    metrics.count("e", "v", a_trace(200, 200, 200), 0.07, None)
    metrics.count("e", "v", a_trace(200, 200, 200), 0.07, None)

    found = samples(metrics)
    assert found['Invocations_total{endpoint="e",variant="v"}'] == 2
    assert found['ContainerLatency_seconds_count{endpoint="e",variant="v",container="c3"}'] == 2
    assert found['ContainerLatency_seconds_sum{endpoint="e",variant="v",container="c3"}'] == 0.04
    assert found['ModelLatency_seconds_sum{endpoint="e",variant="v"}'] == 0.12
    assert abs(found['OverheadLatency_seconds_sum{endpoint="e",variant="v"}'] - 0.02) < 1e-6
    assert found['ModelLatency_seconds_bucket{endpoint="e",variant="v",le="0.05"}'] == 0
    assert found['ModelLatency_seconds_bucket{endpoint="e",variant="v",le="0.1"}'] == 2
    assert found['InvocationModelErrors_total{endpoint="e",variant="v",container="c1"}'] == 0


def test_an_error_counts_at_the_container_that_gave_it():
    metrics = Metrics()

    for status in (415, 400, 503):
        trace = a_trace(200, status)
        metrics.count("e", "v", trace, 0.1, a_failure(trace))
    trace = a_trace(0)
    metrics.count("e", "v", trace, 0.1, a_failure(trace, HttpError("timeout", "late")))

    found = samples(metrics)
    assert found['Invocations_total{endpoint="e",variant="v"}'] == 4
    assert found['Invocation4XXErrors_total{endpoint="e",variant="v",container="c2"}'] == 2
    assert found['Invocation5XXErrors_total{endpoint="e",variant="v",container="c2"}'] == 1
    assert found['InvocationModelErrors_total{endpoint="e",variant="v",container="c2"}'] == 3
    assert found['InvocationModelErrors_total{endpoint="e",variant="v",container="c1"}'] == 1
    assert found['Invocation4XXErrors_total{endpoint="e",variant="v",container="c1"}'] == 0


def test_every_line_is_what_prometheus_reads_and_every_family_has_its_type():
    metrics = Metrics()
    metrics.count('odd"name\\', "v", a_trace(200), 0.1, None)
    sample = re.compile(r'[a-zA-Z_][\w]*\{([a-z]+="([^"\\\n]|\\["\\n])*",?)+\} [0-9.e+-]+')

    text = metrics.text()

    families = {line.split()[2]: line.split()[3] for line in text.splitlines() if line.startswith("# TYPE")}
    assert families["Invocations_total"] == "counter"
    assert families["ContainerLatency_seconds"] == "histogram"
    for line in text.splitlines():
        assert line.startswith("#") or sample.fullmatch(line), line
        name = re.sub(r"_(bucket|sum|count)$", "", line.partition("{")[0])
        assert line.startswith("#") or name in families
    assert text.endswith("\n")
    assert (
        len([line for line in text.splitlines() if line.startswith("ModelLatency_seconds_bucket")]) == len(BUCKETS) + 1
    )


def test_counts_of_many_threads_all_arrive():
    metrics = Metrics()
    threads = [
        threading.Thread(target=lambda: [metrics.count("e", "v", a_trace(200), 0.1, None) for _ in range(500)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert samples(metrics)['Invocations_total{endpoint="e",variant="v"}'] == 2000
