"""What a transform job tells while it runs: the platform's lines in its data-log, and numbers for a progress bar."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from datetime import datetime, timezone

from seaproof.batch.payload import Failure
from seaproof.batch.transform import Object, Stats
from seaproof.control.transform_record import Job

STREAM = "data-log"
PROGRESS = "progress.json"
_SECONDS = 0.2
MIB = 1024 * 1024


class Teller:
    """Listens to the lanes of one job; usable from any thread."""

    def __init__(self, job: Job, objects: int, total_bytes: int | None) -> None:
        """`total_bytes` of all objects, None where it cannot be known (gzip)."""
        self._job = job
        self._lock = threading.Lock()
        self._log_path = job.plane.log_file("TransformJobs", job.name, STREAM)
        self._written = 0.0
        self._numbers: dict[str, float | None] = {
            "objects": objects,
            "objects_done": 0,
            "objects_failed": 0,
            "bytes": 0,
            "total_bytes": total_bytes,
            "records": 0,
            "bad": 0,
            "output": 0,
            "requests": 0,
            "started": time.time(),
        }
        self.failures: list[tuple[str, Failure]] = []
        """Objects that failed, in the order they did."""

    @property
    def bad(self) -> int:
        """Records put aside."""
        return int(self._numbers["bad"] or 0)

    def numbers(self) -> dict[str, float | None]:
        """How far the job is: objects, bytes and records of the input, requests, bytes of the output."""
        with self._lock:
            return {**self._numbers, "now": time.time()}

    def __str__(self) -> str:
        told = self.numbers()
        return f"{told['objects_done']:,} of {told['objects']:,} objects done, {told['records']:,} records"

    def log(self, *lines: str) -> None:
        """Add lines to the data-log, as the platform words them."""
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        text = "".join(f"{now}:[sagemaker logs]: {line}\n" for line in lines)
        with self._lock, suppress(OSError):  # where the disk is full the log ends, and the job goes on
            self._log_path.parent.mkdir(parents=True, exist_ok=True)
            with self._log_path.open("a", encoding="utf-8") as file:
                file.write(text)

    def moved(self, bytes: int, records: int, requests: int) -> None:
        with self._lock:
            self._add(bytes=bytes, records=records, requests=requests)
            if time.monotonic() - self._written > _SECONDS:
                self._write()

    def done(self, object: Object, stats: Stats) -> None:
        told = [
            f"{stats.records:,} record{'s' * (stats.records != 1)}",
            f"{stats.bytes / MIB:,.1f} MB in {stats.payloads:,} request{'s' * (stats.payloads != 1)}",
            f"{stats.output / MIB:,.1f} MB out",
            f"{stats.seconds:.1f} s",
        ]
        if stats.bad:
            told.append(f"{stats.bad:,} put aside")
        if stats.resumed:
            told.append(f"gone on with from byte {stats.resumed:,}")
        self.log(f"{object.name}: done: {', '.join(told)}")
        with self._lock:
            self._add(objects_done=1, bad=stats.bad, output=stats.output)
            self._write()

    def failed(self, object: Object, failure: Failure, stats: Stats) -> None:
        self.log(*(f"{object.name}: {line}" for line in failure.lines), f"{object.name}: failed: {failure.reason}")
        with self._lock:
            self.failures.append((object.name, failure))
            self._add(objects_failed=1)
            self._write()

    def close(self) -> None:
        """Write down the last numbers."""
        with self._lock:
            self._write()

    def _add(self, **more: float) -> None:
        for name, value in more.items():
            self._numbers[name] = (self._numbers[name] or 0) + value

    def _write(self) -> None:
        self._written = time.monotonic()
        path = self._job.folder / PROGRESS
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_text(json.dumps({**self._numbers, "now": time.time()}), encoding="utf-8")
            part.replace(path)
