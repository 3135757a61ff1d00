"""One transform by seaproof's batch package against a server that runs; prints its figures as JSON.

python batch_ours.py PORT INPUT CONCURRENT [--header]
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from seaproof.batch import work
from seaproof.batch.engine import ThreadEngine
from seaproof.batch.payload import Failure
from seaproof.batch.records import Processing
from seaproof.batch.source import FileSource, Source
from seaproof.batch.split import splitter
from seaproof.batch.transform import Cutting, Object, Stats, transform
from seaproof.invocations.send import Sender

LIMIT = 6 * 1024 * 1024


@dataclass(frozen=True)
class Input:
    """A file, whose output lies beside it when it is whole."""

    path: Path
    base: Path
    name = "input"
    stamp = ""

    def open(self) -> Source:
        return FileSource(self.path.open("rb"))

    def is_finished(self) -> bool:
        return False

    def finish(self, part: Path, bad: Path | None) -> None:
        part.replace(self.base)


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.stats: Stats | None = None

    def moved(self, bytes: int, records: int, requests: int) -> None:
        pass

    def done(self, object: Object, stats: Stats) -> None:
        self.stats = stats

    def failed(self, object: Object, failure: Failure, stats: Stats) -> None:
        raise SystemExit(f"the object failed: {failure.reason}")


def main(port: int, path: Path, concurrent: int, header: bool) -> None:
    sender, listener = Sender(), Listener()
    headers = [(b"Content-Type", b"text/csv"), (b"Accept", b"text/csv")]

    def send(body: bytes) -> bytes:
        reply = sender.request(
            "127.0.0.1", port, "POST", "/invocations", headers=headers, body=body, timeout=600, max_body=2**30
        )
        if reply.status != 200:
            raise SystemExit(f"status {reply.status}: {reply.body[:200]!r}")
        return reply.body

    job = work.Job(processing=Processing(lines=True), limit=LIMIT, line_ends=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        given = Input(path, Path(folder) / "output")
        began = time.perf_counter()
        with ThreadEngine().open(lambda number: nullcontext(partial(work.run, job, send)), 1) as map:
            cutting = Cutting("Line", LIMIT, repeat_header=header)
            transform([given], cutting, map, concurrent, listener)
        seconds = time.perf_counter() - began
        output = given.base.stat().st_size
    usage = resource.getrusage(resource.RUSAGE_SELF)
    sender.close()
    assert listener.stats is not None
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu": usage.ru_utime + usage.ru_stime,
                "peak_mb": usage.ru_maxrss / 1024,
                "records": listener.stats.records,
                "requests": listener.stats.payloads,
                "output": output,
                "cutting": _cutting(path),
            }
        )
    )


def _cutting(path: Path) -> float:
    """Seconds that the cuts alone take."""
    source = FileSource(path.open("rb"))
    began = time.perf_counter()
    for _ in splitter("Line", limit=LIMIT, single=False)(source, 0):
        pass
    seconds = time.perf_counter() - began
    source.close()
    return seconds


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), "--header" in sys.argv)
