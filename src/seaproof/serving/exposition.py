"""The text of GET /metrics: what all processes of the container have counted, in Prometheus' text format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seaproof.serving import metrics as m

_COUNTERS = (
    ("request_bytes", m.BYTES_IN, "Bytes of request bodies."),
    ("response_bytes", m.BYTES_OUT, "Bytes of response bodies."),
    ("streams_broken_off", m.BROKEN_OFF, "Streamed answers that did not reach their end."),
    ("refused", m.REFUSED, "Requests refused before their headers and body were complete."),
    ("worker_deaths", m.DEATHS, "Workers that ended without being told to."),
)
_GAUGES = (
    ("requests_in_flight", m.IN_FLIGHT, "Requests being answered now."),
    ("queue_depth", m.QUEUE_DEPTH, "Requests that wait for a prediction now."),
)


def render(board: m.Board) -> str:
    """The text: counters are sums of all workers; memory is that of each process."""
    rows = board.read()
    total = [sum(column) for column in zip(*rows, strict=True)]
    lines = [
        *_requests(total),
        *_durations(total),
        *_histogram("queue_seconds", "Time from request to work on it.", m.SECONDS, total, m.QUEUED),
        *_histogram("batch_rows", "Rows of one call of the model.", m.SIZES, total, m.BATCH_ROWS),
        *_histogram("batch_requests", "Requests of one call of the model.", m.SIZES, total, m.BATCH_REQUESTS),
    ]
    for name, cell, text in _COUNTERS:
        lines += [*_head(f"{name}_total", "counter", text), f"seaproof_{name}_total {_number(total[cell])}"]
    for name, cell, text in _GAUGES:
        lines += [*_head(name, "gauge", text), f"seaproof_{name} {_number(total[cell])}"]
    lines += [*_models(rows), *_processes(rows)]
    return "\n".join(lines) + "\n"


def _requests(total: list[float]) -> Iterator[str]:
    yield from _head("requests_total", "counter", "Answers given, by route and status; 499: the client had left.")
    for at, route in enumerate(m.ROUTES):
        for offset in range(m.STATUSES):
            count = total[m.REQUESTS + at * m.STATUSES + offset]
            if count or (at == 0 and offset == 0):  # a rate can only be told of what was there from the start
                status = m.FIRST_STATUS + offset if offset < m.STATUSES - 1 else "other"
                yield f'seaproof_requests_total{{route="{route}",status="{status}"}} {_number(count)}'


def _durations(total: list[float]) -> Iterator[str]:
    size = len(m.SECONDS) + 2
    yield from _head("request_seconds", "histogram", "Time from the last byte of a request to its whole answer.")
    for at, route in enumerate(m.ROUTES):
        start = m.DURATIONS + at * size
        if at == 0 or any(total[start : start + size]):
            yield from _buckets("request_seconds", f'route="{route}"', m.SECONDS, total, start)


def _histogram(name: str, text: str, bounds: tuple[float, ...], total: list[float], start: int) -> Iterator[str]:
    yield from _head(name, "histogram", text)
    yield from _buckets(name, "", bounds, total, start)


def _buckets(name: str, labels: str, bounds: tuple[float, ...], total: list[float], start: int) -> Iterator[str]:
    so_far, before = 0.0, f"{labels}," if labels else ""
    for at, bound in enumerate((*bounds, "+Inf")):
        so_far += total[start + at]
        yield f'seaproof_{name}_bucket{{{before}le="{bound}"}} {_number(so_far)}'
    after = f"{{{labels}}}" if labels else ""
    yield f"seaproof_{name}_sum{after} {_number(total[start + len(bounds) + 1])}"
    yield f"seaproof_{name}_count{after} {_number(so_far)}"


def _models(rows: list[list[float]]) -> Iterator[str]:
    """A model that is loaded before the fork is in the row of the master, and shared by all."""
    yield from _head("model_load_seconds", "gauge", "What the last load of a model took, in the slowest process.")
    yield f"seaproof_model_load_seconds {_number(max(row[m.LOAD_SECONDS] for row in rows))}"
    for name, cell, text in (
        ("models_loaded", m.MODELS, "Models loaded in each process."),
        ("model_bytes", m.MODEL_BYTES, "Bytes by which a process grew as it loaded its models."),
    ):
        yield from _head(name, "gauge", text)
        for at, row in enumerate(rows):
            if row[cell] or at == 0:
                yield f'seaproof_{name}{{process="{_process(at)}"}} {_number(row[cell])}'


def _processes(rows: list[list[float]]) -> Iterator[str]:
    said = {at: memory for at, row in enumerate(rows) if row[m.PID] and (memory := read_memory(int(row[m.PID])))}
    yield from _head("workers", "gauge", "Worker processes that live.")
    yield f"seaproof_workers {sum(1 for row in rows[1:] if row[m.PID])}"
    yield from _head("memory_bytes", "gauge", "Resident memory; pss counts a page that n processes share as 1/n.")
    for at, memory in said.items():
        for kind, value in memory.items():
            yield f'seaproof_memory_bytes{{process="{_process(at)}",kind="{kind}"}} {value}'


def read_memory(pid: int) -> dict[str, int]:
    """Bytes of memory of a process as `rss` and `pss`; empty where the kernel does not say."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return {}
    found = {line.split(":")[0].lower(): line.split()[1] for line in lines[1:]}
    return {kind: int(found[kind]) * 1024 for kind in ("rss", "pss") if kind in found}


def _process(row: int) -> str:
    return f"worker-{row}" if row else "master"


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP seaproof_{name} {text}", f"# TYPE seaproof_{name} {kind}"]


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
