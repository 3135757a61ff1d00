"""What was measured along the way, gathered for the report's pictures."""

from __future__ import annotations

from seaproof.check.check import Measure
from seaproof.check.lab import Lab


def measure_of(lab: Lab) -> Measure:
    """Start-up, latencies, memory and concurrency of a lab, as far as checks found them out."""
    started = lab.has("startup")
    return Measure(
        pings=tuple(started.pings) if started else (),
        ready_seconds=started.ready_seconds if started else None,
        latencies=tuple(lab.has("latencies") or ()),
        memory=tuple(lab.has("memory") or ()),
        concurrency=tuple(lab.has("concurrency") or ()),
    )
