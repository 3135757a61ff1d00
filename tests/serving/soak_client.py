"""Requests over kept-alive connections for minutes, each answer checked; and what processes hold meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LIMIT = 8 * 1024 * 1024
"""Bytes of a reply that a client takes at most."""

SCRIPT = """
import numpy as np

def parts(first):
    for number in range(int(-first)):
        yield f"part {number}\\n"

def predict_fn(data, model):
    rows = np.asarray(data, dtype=float)
    return parts(rows[0][0]) if rows[0][0] < 0 else rows.sum(axis=1)
"""
"""The sum of each row; a negative first number asks for a stream of so many parts. SCRIPT_JOINED has no streams."""

SCRIPT_JOINED = (
    "import numpy as np\nbatch = True\ndef predict_fn(data, model):\n    return np.asarray(data).sum(axis=1)\n"
)


@dataclass(frozen=True)
class Question:
    """A request as bytes, and what must come back."""

    kind: str
    wire: bytes
    status: int
    right: Callable[[bytes], bool]


@dataclass
class Tally:
    """What came back, and what was held at which second."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    held: list[tuple[float, int, int]] = field(default_factory=list)
    """Seconds since the start, bytes (PSS, without files) and open files of all processes."""

    def check(self, warm: float, seconds: float) -> str:
        """AssertionError where memory or open files grew after `warm` seconds; a line of figures."""
        window = (seconds - warm) / 6
        first = [held for held in self.held if warm <= held[0] < warm + window]
        last = [held for held in self.held if held[0] >= seconds - window]
        before, after = (statistics.median(held[1] for held in part) for part in (first, last))
        files = [max(held[2] for held in part) for part in (first, last)]
        figures = (
            f"{sum(self.answers.values())} answers in {seconds:.0f} s {dict(self.answers)}; "
            f"PSS {before / 2**20:.1f} MiB, then {after / 2**20:.1f} MiB; open files {files[0]}, then {files[1]}"
        )
        assert after - before < max(0.05 * before, 5 * 2**20), figures
        # How many connections are being replaced in the moment of a look differs; a leak would be of hundreds by now.
        assert files[1] <= files[0] + 4, figures
        return figures


def questions(
    path: str, refused: Callable[[int], tuple[int, Callable[[bytes], bool]]], streams: bool
) -> list[Question]:
    """Valid rows, batches of them, bad ones and streams; `refused` says how a container's refusal comes back."""
    chance, asked = random.Random(7), []
    for number in range(300):
        kind = ("row", "row", "batch", "bad", "stream" if streams else "row")[number % 5]
        rows = [[float(chance.randint(0, 999)) for _ in range(8)] for _ in range(1 if kind == "row" else 200)]
        if kind == "bad":
            text, content_type, status = chance.choice(
                [
                    ("1,2\n3\n", "text/csv", 400),
                    ('{"a": [1,', "application/json", 400),
                    ("<a/>", "application/xml", 415),
                ]
            )
            come, right = refused(status)
            asked.append(Question(kind, post(path, text, content_type, "application/json"), come, right))
        elif kind == "stream":
            count = chance.randint(1, 30)
            whole = "".join(f"part {part}\n" for part in range(count)).encode()
            asked.append(Question(kind, post(path, f"-{count}", "text/csv", "text/plain"), 200, whole.__eq__))
        elif chance.random() < 0.5:
            text = "\n".join(",".join(map(str, row)) for row in rows)
            right = _gives([sum(row) for row in rows], lambda body: [float(word) for word in body.split()])
            asked.append(Question(kind, post(path, text, "text/csv", "text/csv"), 200, right))
        else:
            right = _gives([sum(row) for row in rows], json.loads)
            wire = post(path, json.dumps(rows), "application/json", "application/json")
            asked.append(Question(kind, wire, 200, right))
    return asked


def _gives(sums: list[float], read: Callable[[bytes], object]) -> Callable[[bytes], bool]:
    return lambda body: read(body) == sums


def post(path: str, body: str, content_type: str, accept: str) -> bytes:
    """A POST as it stands on the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\nAccept: {accept}\r\n"
    return f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of one reply, plain or chunked; ConnectionError or IncompleteReadError where it breaks off."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    lines = head.split(b"\r\n")
    fields = dict(line.split(b": ", 1) for line in lines[1:] if line)
    status = int(lines[0].split()[1])
    if fields.get(b"transfer-encoding") != b"chunked":
        length = int(fields[b"content-length"])
        assert length <= LIMIT
        return status, await reader.readexactly(length)
    body = b""
    while size := int(await reader.readline(), 16):
        assert len(body) + size <= LIMIT
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return status, body


async def soak(
    port: int, asked: Sequence[Question], seconds: float, clients: int, processes: Callable[[], Iterable[int]]
) -> Tally:
    """Ask for so long on so many connections that stay open; each must answer every question within 30 s."""
    tally, started = Tally(), time.monotonic()

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        chance = random.Random(number)
        while time.monotonic() - started < seconds:
            question = chance.choice(asked)
            writer.write(question.wire)
            status, body = await asyncio.wait_for(answer(reader), 30)
            tally.answers[f"{question.kind} {status}"] += 1
            if status != question.status or not question.right(body):
                tally.wrong.append(f"{question.kind}: {status} {body[:300]!r}")
                assert len(tally.wrong) < 20, tally.wrong
        writer.close()
        await writer.wait_closed()

    async def watch() -> None:
        while True:
            await asyncio.sleep(min(1.0, seconds / 40))
            tally.held.append((time.monotonic() - started, *holdings(processes())))

    watching = asyncio.create_task(watch())
    try:
        await asyncio.gather(*(one(number) for number in range(clients)))
    finally:
        watching.cancel()
    return tally


def holdings(processes: Iterable[int]) -> tuple[int, int]:
    """Bytes of memory, shared pages in proportion (PSS), and open files of all of them.

    Pages of files are left out: others who map the same libraries come and go, and change each one's part in them.
    """
    memory = files = 0
    for pid in processes:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        sizes = {line.split()[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}
        memory += (sizes["Pss_Anon:"] + sizes["Pss_Shmem:"]) * 1024
        files += len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return memory, files


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for process in found:
        found += children(process)
    return found


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def families_in(folder: Path) -> list[int]:
    """The processes whose command or environment names this folder, and all below them: not one may end."""
    found: set[int] = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue  # another user's, or ended meanwhile
        if str(folder).encode() in said:
            found.update(family(int(process.name)))
    return sorted(found - {os.getpid()})
