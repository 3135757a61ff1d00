"""What the tests of all kinds of jobs share: objects in the plane's storage, and waiting for an end."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

from seaproof.control.plane import Plane
from seaproof.storage.storage import parse_address

ENDED = ("Completed", "Failed", "Stopped")


def put(plane: Plane, uri: str, content: bytes = b"x") -> None:
    plane.storage.write(parse_address(uri), io.BytesIO(content))


def get(plane: Plane, uri: str) -> bytes:
    with plane.storage.open(parse_address(uri)) as stream:
        return stream.read()


def until(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def wait_for_end(plane: Plane, kind: str, name: str, seconds: float = 60) -> None:
    """Wait until the job has ended and its thread is done."""

    def is_over() -> bool:
        record = plane.store.get(kind, name)
        busy = any(thread.name == f"{kind.replace('-', ' ')} {name}" for thread in list(plane.threads))
        return record is not None and record.status in ENDED and not busy

    until(is_over, f"the end of {name}: {plane.store.get(kind, name)}", seconds)
