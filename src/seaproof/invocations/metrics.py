"""What Prometheus reads of invocations, named as CloudWatch names it, with Prometheus' endings for kind and unit.

    Invocations_total{endpoint,variant}                       requests that a container was asked for
    Invocation4XXErrors_total{endpoint,variant,container}     of them, those that the container answered with 4xx
    Invocation5XXErrors_total{endpoint,variant,container}     with 5xx
    InvocationModelErrors_total{endpoint,variant,container}   with anything but 2xx, or with no usable answer
    ModelLatency_seconds{endpoint,variant}                    all containers together, a histogram
    OverheadLatency_seconds{endpoint,variant}                 the rest of the request's time here
    ContainerLatency_seconds{endpoint,variant,container}      one container
    ApproximateBacklogSize{endpoint}                          asynchronous requests that wait or run

A request through three containers is one of `Invocations_total`, and three of `ContainerLatency_seconds_count`: sums
over labels count nothing twice. Source of the names: developer guide, "Metrics for monitoring ... with CloudWatch".
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping

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
    "ApproximateBacklogSize": ("gauge", "Asynchronous requests that wait or run."),
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


class _Container:
    """One container's counts."""

    __slots__ = ("errors", "labels", "latency")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        # A series that begins at 0 shows its first error as an increase.
        self.errors = dict.fromkeys(_ERRORS, 0)
        self.latency = _Histogram()

    def failed(self, status: int) -> None:
        """It answered with this status, or with nothing usable (0)."""
        self.errors["InvocationModelErrors_total"] += 1
        if status // 100 in (4, 5):
            self.errors[f"Invocation{status // 100}XXErrors_total"] += 1


class _Variant:
    """The counts of one variant of an endpoint, or of one pipeline."""

    __slots__ = ("containers", "invocations", "labels", "model", "overhead")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.invocations = 0
        self.model, self.overhead = _Histogram(), _Histogram()
        self.containers: dict[str, _Container] = {}

    def container(self, name: str) -> _Container:
        found = self.containers.get(name)
        if found is None:
            found = self.containers[name] = _Container((*self.labels, ("container", name)))
        return found


class Metrics:
    """Counts in memory. Usable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._variants: dict[tuple[str, str], _Variant] = {}
        self.backlog: Callable[[], Mapping[str, int]] = dict
        """Asked for the asynchronous requests of each endpoint that wait or run."""

    def count(self, endpoint: str, variant: str, trace: Trace, seconds: float, failed: StepFailed | None) -> None:
        """One request; `seconds` are all of its time here."""
        with self._lock:
            counts = self._variants.get((endpoint, variant)) or self._of(endpoint, variant)
            counts.invocations += 1
            inside = -trace.beside
            for step in trace.steps:
                container = counts.containers.get(step.name) or counts.container(step.name)
                container.latency.add(step.total)
                inside += step.total
            counts.model.add(inside)
            counts.overhead.add(seconds - inside if seconds > inside else 0.0)
            if failed is not None:
                counts.container(failed.step.name).failed(failed.at.status)

    def refused(self, endpoint: str, variant: str, container: str, status: int) -> None:
        """A request that came to nothing before it was sent: this container was not there, or loaded no model."""
        with self._lock:
            self._of(endpoint, variant).container(container).failed(status)

    def text(self) -> str:
        """All of it in Prometheus' text format, version 0.0.4."""
        with self._lock:
            return "".join(f"{line}\n" for line in self._lines())

    def response(self) -> Response:
        """The answer to GET /metrics."""
        return Response(200, [(b"Content-Type", CONTENT_TYPE)], self.text().encode())

    def _of(self, endpoint: str, variant: str) -> _Variant:
        found = self._variants.get((endpoint, variant))
        if found is None:
            found = _Variant((("endpoint", endpoint), ("variant", variant)))
            self._variants[endpoint, variant] = found
        return found

    def _lines(self) -> Iterator[str]:
        variants = list(self._variants.values())
        containers = [container for variant in variants for container in variant.containers.values()]
        histograms = {
            "ModelLatency_seconds": [(variant.labels, variant.model) for variant in variants],
            "OverheadLatency_seconds": [(variant.labels, variant.overhead) for variant in variants],
            "ContainerLatency_seconds": [(container.labels, container.latency) for container in containers],
        }
        for name, (kind, help) in _HELP.items():
            yield f"# HELP {name} {help}"
            yield f"# TYPE {name} {kind}"
            for labels, histogram in histograms.get(name, ()):
                yield from _histogram_lines(name, labels, histogram)
            if name == "Invocations_total":
                yield from (f"{name}{_braces(variant.labels)} {variant.invocations}" for variant in variants)
            elif name in _ERRORS:
                yield from (f"{name}{_braces(each.labels)} {each.errors[name]}" for each in containers)
            elif name == "ApproximateBacklogSize":
                yield from (f"{name}{_braces((('endpoint', each),))} {size}" for each, size in self.backlog().items())


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
