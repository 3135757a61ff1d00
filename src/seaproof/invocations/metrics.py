"""What Prometheus reads of invocations, named as CloudWatch names it, with Prometheus' endings for kind and unit.

    Invocations_total{endpoint,variant}                       requests that a container was asked for
    Invocation4XXErrors_total{endpoint,variant,container}     of them, those that the container answered with 4xx
    Invocation5XXErrors_total{endpoint,variant,container}     with 5xx
    InvocationModelErrors_total{endpoint,variant,container}   with anything but 2xx, or with no usable answer
    ModelLatency_seconds{endpoint,variant}                    all containers together, a histogram
    OverheadLatency_seconds{endpoint,variant}                 the rest of the request's time here
    ContainerLatency_seconds{endpoint,variant,container}      one container

A request through three containers is one of `Invocations_total`, and three of `ContainerLatency_seconds_count`: sums
over labels count nothing twice. Source of the names: developer guide, "Metrics for monitoring ... with CloudWatch".
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator

from seaproof.http.message import Response
from seaproof.invocations.chain import StepFailed, Trace

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds."""

_HELP = {
    "Invocations_total": ("counter", "Requests that were sent to a container."),
    "Invocation4XXErrors_total": ("counter", "Requests that a container answered with 4xx."),
    "Invocation5XXErrors_total": ("counter", "Requests that a container answered with 5xx."),
    "InvocationModelErrors_total": ("counter", "Requests that a container did not answer with 2xx, or not at all."),
    "ModelLatency_seconds": ("histogram", "Time of all containers of a request together."),
    "OverheadLatency_seconds": ("histogram", "Time of a request outside its containers."),
    "ContainerLatency_seconds": ("histogram", "Time of one container for one request."),
}
_ERRORS = ("Invocation4XXErrors_total", "Invocation5XXErrors_total", "InvocationModelErrors_total")
Labels = tuple[tuple[str, str], ...]


class _Histogram:
    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


class Metrics:
    """Counts in memory. Usable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, dict[Labels, int]] = {}
        self._histograms: dict[str, dict[Labels, _Histogram]] = {}
        self._labels: dict[tuple[str, str, str], Labels] = {}

    def count(self, endpoint: str, variant: str, trace: Trace, seconds: float, failed: StepFailed | None) -> None:
        """One request; `seconds` are all of its time here."""
        with self._lock:
            whole = self._named(endpoint, variant, "")
            self._add("Invocations_total", whole)
            self._observe("ModelLatency_seconds", whole, trace.seconds)
            self._observe("OverheadLatency_seconds", whole, max(0.0, seconds - trace.seconds))
            for step in trace.steps:
                self._observe("ContainerLatency_seconds", self._named(endpoint, variant, step.name), step.total)
            if failed is not None:
                labels = self._named(endpoint, variant, failed.step.name)
                self._add("InvocationModelErrors_total", labels)
                if failed.at.status // 100 in (4, 5):
                    self._add(f"Invocation{failed.at.status // 100}XXErrors_total", labels)

    def text(self) -> str:
        """All of it in Prometheus' text format, version 0.0.4."""
        with self._lock:
            return "".join(f"{line}\n" for line in self._lines())

    def response(self) -> Response:
        """The answer to GET /metrics."""
        return Response(200, [(b"Content-Type", CONTENT_TYPE)], self.text().encode())

    def _named(self, endpoint: str, variant: str, container: str) -> Labels:
        key = (endpoint, variant, container)
        labels = self._labels.get(key)
        if labels is None:
            labels = (("endpoint", endpoint), ("variant", variant), *([("container", container)] if container else []))
            self._labels[key] = labels
            # A series that begins at 0 shows its first error as an increase.
            for name in _ERRORS if container else ():
                self._counters.setdefault(name, {})[labels] = 0
        return labels

    def _add(self, name: str, labels: Labels) -> None:
        series = self._counters.setdefault(name, {})
        series[labels] = series.get(labels, 0) + 1

    def _observe(self, name: str, labels: Labels, seconds: float) -> None:
        series = self._histograms.setdefault(name, {})
        if labels not in series:
            series[labels] = _Histogram()
        series[labels].add(seconds)

    def _lines(self) -> Iterator[str]:
        for name, (kind, help) in _HELP.items():
            yield f"# HELP {name} {help}"
            yield f"# TYPE {name} {kind}"
            for labels, value in self._counters.get(name, {}).items():
                yield f"{name}{_braces(labels)} {value}"
            for labels, histogram in self._histograms.get(name, {}).items():
                yield from _histogram_lines(name, labels, histogram)


def _histogram_lines(name: str, labels: Labels, histogram: _Histogram) -> Iterator[str]:
    count = 0
    for bound, here in zip((*BUCKETS, None), histogram.counts, strict=True):
        count += here
        le = "+Inf" if bound is None else f"{bound:g}"
        yield f"{name}_bucket{_braces((*labels, ('le', le)))} {count}"
    yield f"{name}_sum{_braces(labels)} {histogram.total:.9g}"
    yield f"{name}_count{_braces(labels)} {count}"


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
