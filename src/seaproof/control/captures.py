"""Data capture: what endpoints were asked and answered, into the bucket that their configuration names."""

from __future__ import annotations

import io
import random

from seaproof.control.plane import Plane
from seaproof.control.recorder import Recorder
from seaproof.invocations.capture import Capture, Exchange, file_name, folder, line
from seaproof.invocations.routing import Routing
from seaproof.storage.storage import parse_address

EVERY = 1.0
"""Seconds between two writes; the platform takes minutes."""

_Entry = tuple[str, Capture, Exchange]


class Captures:
    """Takes exchanges of all endpoints. Usable from any thread; `take` never waits."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._recorder: Recorder[_Entry] = Recorder(plane, "data capture", self._write, EVERY)

    def wants(self, routing: Routing) -> bool:
        """Whether the next exchange is one of those that the endpoint's configuration keeps."""
        return routing.capture is not None and random.random() < routing.capture.share

    def take(self, routing: Routing, exchange: Exchange) -> None:
        """Keep one exchange of an endpoint that has a capture."""
        capture = routing.capture
        assert capture is not None
        size = len(exchange.request_body) + len(exchange.reply_body) + 1024
        self._recorder.take((routing.endpoint, capture, exchange), size)

    def _write(self, entries: list[_Entry]) -> None:
        files: dict[str, list[_Entry]] = {}
        for entry in entries:
            endpoint, capture, exchange = entry
            files.setdefault(folder(capture, endpoint, exchange), []).append(entry)
        for where, of_hour in files.items():
            lines = "\n".join(line(capture, exchange) for _, capture, exchange in of_hour) + "\n"
            address = parse_address(f"{where}/{file_name(of_hour[0][2].seconds)}")
            self._plane.storage.write(address, io.BytesIO(lines.encode()))
