"""Processes by number and start time: a number alone is given out again, and the wrong process would be stopped."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process of this machine, since its start."""

    pid: int
    started: str
    """Clock ticks since boot, and the boot; "" where the system does not tell."""

    def __str__(self) -> str:
        return f"{self.pid}:{self.started}"


def parse(text: str) -> Process:
    """The inverse of str()."""
    pid, _, started = text.partition(":")
    return Process(int(pid), started)


def this_process() -> Process:
    """The calling process."""
    return Process(os.getpid(), _started(os.getpid()) or "")


def is_alive(process: Process) -> bool:
    """Whether it still runs; a zombie has ended."""
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    started = _started(process.pid)
    return started == process.started if started is not None else not process.started


def send(process: Process, number: signal.Signals) -> bool:
    """Signal it; False where it is gone."""
    if not is_alive(process):
        return False
    with suppress(ProcessLookupError, PermissionError):
        os.kill(process.pid, number)
        return True
    return False


def wait(process: Process, timeout: float | None) -> bool:
    """Wait until it has ended, whoever its parent is; False when it still runs after `timeout` seconds."""
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    except (AttributeError, OSError):
        handle = -1
    try:
        while is_alive(process):
            left = 0.05 if deadline is None or handle < 0 else deadline - time.monotonic()
            if deadline is not None and time.monotonic() >= deadline:
                return False
            if handle >= 0:
                select.select([handle], [], [], None if deadline is None else max(0.0, left))
            else:
                time.sleep(min(0.05, left))
        return True
    finally:
        if handle >= 0:
            os.close(handle)


def descendants(pid: int) -> list[int]:
    """All living processes that descend from `pid`, parents before children; empty where /proc is not."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(entry.name))
        if fields is not None and fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = list(children.get(pid, ()))
    for parent in found:
        found.extend(children.get(parent, ()))
    return found


def resident_memory(pids: list[int]) -> int:
    """Bytes of memory that these processes hold, pages that they share counted once (proportionally)."""
    total = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
            total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024
    return total


def cpu_seconds(pids: Sequence[int]) -> float:
    """Seconds of processor time that these processes and their children that have ended took since their start."""
    fields = (_stat(pid) for pid in pids)
    return sum(sum(map(int, found[11:15])) for found in fields if found) / os.sysconf("SC_CLK_TCK")


def in_disk_wait(pids: Sequence[int]) -> bool:
    """Whether one of them waits for a disk just now."""
    return any(found[0] == "D" for found in map(_stat, pids) if found)


def _started(pid: int) -> str | None:
    fields = _stat(pid)
    if fields is None or fields[0] == "Z":
        return None
    return f"{fields[19]}:{_boot()}"


def _boot() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    return ""


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the state on; the name before it may hold blanks and brackets."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].decode("ascii").split()
    except OSError:
        return None
