"""The recorded trace of a multi-model endpoint: one line for each invocation, `time,model,bytes`.

`seaproof models simulate` reads it. A line is written whole with one system call, so that a trace can be read, copied
or removed while it grows.
"""

from __future__ import annotations

import csv
import io
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

HEADER = ("time", "model", "bytes")


def recorder(path: Path) -> Callable[[str, int], None]:
    """A function that appends target and bytes of one invocation to the file, which is made with the first one.

    An invocation is never failed for its trace: what cannot be written is left out.
    """
    lock = threading.Lock()

    def record(target: str, size: int) -> None:
        try:
            with lock:
                _append(path, (f"{time.time():.3f}", target, size))
        except OSError:
            return

    return record


def _append(path: Path, row: tuple[str, str, int]) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if os.fstat(descriptor).st_size == 0:
            writer.writerow(HEADER)
        writer.writerow(row)
        os.write(descriptor, text.getvalue().encode())
    finally:
        os.close(descriptor)
