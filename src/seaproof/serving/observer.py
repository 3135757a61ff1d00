"""Told by the HTTP server of every answer: counts it, and writes it to the access log where that is asked for."""

from __future__ import annotations

import time

from seaproof.contract import http
from seaproof.contract.environ import LOG_ALL, LOG_ERRORS, LOG_OFF, ServingEnviron
from seaproof.http.message import Request
from seaproof.serving import metrics
from seaproof.serving.accesslog import AccessLog

_UNHEALTHY = 400


class Observer:
    """The `Watch` of one worker; made on its event loop."""

    def __init__(self, environ: ServingEnviron, worker: int) -> None:
        self._meter = metrics.own()
        self._in_flight = 0
        self._log = None if environ.access_log == LOG_OFF else AccessLog(worker)
        self._from = _UNHEALTHY if environ.access_log == LOG_ERRORS else 0
        self._pings = environ.access_log == LOG_ALL

    def begun(self) -> None:
        """One more is in flight."""
        self._in_flight += 1
        self._meter.set(metrics.IN_FLIGHT, self._in_flight)

    def ended(self, request: Request | None, status: int, sent: int, seconds: float, whole: bool) -> None:
        """One less is in flight."""
        meter = self._meter
        if request is None:
            meter.add(metrics.REFUSED)
            return
        self._in_flight -= 1
        meter.set(metrics.IN_FLIGHT, self._in_flight)
        meter.request(request.path, status, seconds, len(request.body), sent)
        queued = None
        if request.taken:
            queued = max(0.0, seconds - (time.monotonic() - request.taken))
            meter.queued(queued)
        if not whole:
            meter.add(metrics.BROKEN_OFF)
        log = self._log
        if log is not None and (status >= self._from or not whole) and (self._pings or request.path != http.PING):
            log.add(request, status, sent, seconds, queued, whole)

    def close(self) -> None:
        """Write what the log still holds."""
        if self._log is not None:
            self._log.close()
