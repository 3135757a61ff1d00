"""What Prometheus reads of the gateway, and the trace that every container is told of."""

from __future__ import annotations

import re

from gateway_lab import Container, gateway, reply


def _samples(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_every_step_is_counted_and_timed_under_cloudwatchs_names():
    second = Container("inf", multi=True)
    with gateway(Container("pre"), second) as front:
        assert [front.post("?model=m").status for _ in range(3)] == [200] * 3
        second.invoke = lambda _: reply(b"no", "text/plain", 415)
        assert front.post("?model=m").status == 502
        second.invoke = lambda _: reply(b"no", "text/plain", 500)
        assert front.post("?model=m").status == 502
        second.load = lambda _: reply(b"no", "text/plain", 500)
        assert front.post("?model=n").status == 502
        got = front.send("GET", "/metrics")

    found, of = _samples(got.body.decode()), 'endpoint="pipeline",variant="AllTraffic"'
    assert got.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert found[f"Invocations_total{{{of}}}"] == 5
    assert found[f"ModelLatency_seconds_count{{{of}}}"] == found[f"OverheadLatency_seconds_count{{{of}}}"] == 5
    for name, expected in (("pre", (5, 0, 0, 0)), ("inf", (5, 1, 2, 3))):
        labels = f'{{{of},container="{name}"}}'
        assert found[f"ContainerLatency_seconds_count{labels}"] == expected[0]
        assert found[f"ContainerLatency_seconds_sum{labels}"] > 0
        assert found[f"Invocation4XXErrors_total{labels}"] == expected[1]
        assert found[f"Invocation5XXErrors_total{labels}"] == expected[2]
        assert found[f"InvocationModelErrors_total{labels}"] == expected[3]


def test_a_container_that_is_not_there_counts_as_its_error():
    container = Container("pre")
    with gateway(container) as front:
        front.seats[0].emptied("it ended")
        assert front.post().status == 503
        found = _samples(front.send("GET", "/metrics").body.decode())

    labels = '{endpoint="pipeline",variant="AllTraffic",container="pre"}'
    assert found[f"InvocationModelErrors_total{labels}"] == 1
    assert found['Invocations_total{endpoint="pipeline",variant="AllTraffic"}'] == 0


def test_every_container_is_told_of_the_callers_trace_with_a_span_of_its_own():
    trace = "0af7651916cd43dd8448eb211c80319c"
    first, second = Container("pre"), Container("inf", multi=True)
    with gateway(first, second) as front:
        for _ in range(2):
            got = front.post("?model=m", traceparent=f"00-{trace}-b7ad6b7169203331-01", tracestate="a=1")
        bare = front.post("?model=m")
        traced = front.post("?model=m&trace=1").json

    told = [request.header(b"traceparent") for request in (*first.asked, *second.asked) if request.path != "/models"]
    with_ours = [each for each in told if each.split("-")[1:2] == [trace]]
    assert (got.status, bare.status) == (200, 200)
    assert len(with_ours) == 4
    assert len({each.split("-")[2] for each in with_ours} | {"b7ad6b7169203331"}) == 5
    assert first.asked[0].header(b"tracestate") == "a=1"
    assert re.fullmatch("[0-9a-f]{32}", traced["trace_id"])
    assert sum(traced["trace_id"] in each for each in told) == 2
