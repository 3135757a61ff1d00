"""Told by the HTTP server of every answer: counts it, and writes it to the access log where that is asked for.

This is on the path of every request, so it only remembers; four times a second, and for a scrape, what was remembered
goes into the cells that all workers share. A worker that is killed takes the last quarter of a second with it.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict

from seaproof.contract import http
from seaproof.contract.environ import LOG_ALL, LOG_ERRORS, LOG_OFF, ServingEnviron
from seaproof.http.message import Request, Response
from seaproof.http.server import Server
from seaproof.serving import metrics
from seaproof.serving.accesslog import AccessLog
from seaproof.serving.exposition import render

EVERY = 0.25
"""Seconds for which answers are remembered."""
_NONE = 1000  # above every status
_TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")


class Observer:
    """The `Watch` of one worker; made on its event loop."""

    server: Server | None = None
    """Whose requests in flight are told."""

    def __init__(self, environ: ServingEnviron, worker: int) -> None:
        self._meter = metrics.own()
        self._seconds: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
        self._queued: list[float] = []
        self._received = self._sent = self._refused = self._broken = 0
        self._scrapes = 0
        """Scrapes that are being answered."""
        self._log = None if environ.access_log == LOG_OFF else AccessLog(worker)
        self._logged = {LOG_OFF: _NONE, LOG_ERRORS: 400}.get(environ.access_log, 0)
        self._pings = environ.access_log == LOG_ALL
        self._timer = asyncio.get_running_loop().call_later(EVERY, self._tick)

    def ended(self, request: Request | None, status: int, sent: int, began: float, whole: bool) -> None:
        """Remember one answer."""
        if request is None:
            self._refused += 1
            return
        seconds = time.monotonic() - began
        self._seconds[request.path, status].append(seconds)
        self._received += len(request.body)
        self._sent += sent
        taken = request.taken
        if taken:
            self._queued.append(taken - began)
        if not whole:
            self._broken += 1
        elif status < self._logged:
            return
        if self._log is not None and (self._pings or status >= 400 or request.path != http.PING):
            self._log.add(request, status, sent, seconds, taken - began if taken else None, whole)

    async def answer_metrics(self, request: Request) -> Response:
        """The handler of GET /metrics."""
        self._scrapes += 1
        try:
            self._count()
            # Beside the event loop, as the kernel walks all pages of a process to tell its memory.
            text = await asyncio.get_running_loop().run_in_executor(None, render, metrics.board())
        finally:
            self._scrapes -= 1
        return Response(200, [_TEXT], text.encode())

    def close(self) -> None:
        """Count what is remembered, and write what the log still holds."""
        self._timer.cancel()
        self._count()
        if self._log is not None:
            self._log.close()

    def _tick(self) -> None:
        self._count()
        self._timer = asyncio.get_running_loop().call_later(EVERY, self._tick)

    def _count(self) -> None:
        """Bring what is remembered to the cells that are shared; a scrape does not count as in flight."""
        meter = self._meter
        meter.set(metrics.IN_FLIGHT, max(0, self.server.in_flight - self._scrapes) if self.server else 0)
        if not self._seconds and not self._refused:
            return
        for (path, status), seconds in self._seconds.items():
            meter.requests(path, status, seconds)
        meter.queued(self._queued)
        meter.add(metrics.BYTES_IN, self._received)
        meter.add(metrics.BYTES_OUT, self._sent)
        meter.add(metrics.REFUSED, self._refused)
        meter.add(metrics.BROKEN_OFF, self._broken)
        self._seconds.clear()
        self._queued.clear()
        self._received = self._sent = self._refused = self._broken = 0
