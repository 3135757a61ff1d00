"""How much memory there is and who has it, so that a multi-model container can say 507 before the kernel kills.

Limits are those that hold for this process: its cgroup's and all above it (version 1 or 2), the machine's, and the
one that the author gave. All sizes are bytes.
"""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
# What stays free for requests, and for what a loading model takes between two looks at it.
LEAST_RESERVE = 24 * MIB
RESERVE = 0.05
UNTOUCHED = 256 * MIB
"""What a process may ask for beyond what there is: stacks of threads and buffers are mostly never written to."""


@dataclass(frozen=True)
class Cgroup:
    """One memory cgroup that has a limit."""

    limit: int
    used: Path
    stat: Path
    inactive: str
    """The line of `stat` that says how much of it is file cache which goes when memory is short."""
    kills: Path
    """The file whose line `oom_kill` counts processes killed for want of memory."""

    def left(self) -> int:
        """What can be had before the kernel kills."""
        used = int(self.used.read_text())
        return self.limit - used + _line(self.stat, self.inactive)


def cgroups(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> list[Cgroup]:
    """The memory cgroups with a limit that this process is in: its own, and those above it."""
    found = []
    for line in _text(proc).splitlines():
        _, controllers, path = line.split(":", 2)
        is_v1 = "memory" in controllers.split(",")
        if not is_v1 and controllers:
            continue
        top = root / "memory" if is_v1 else root / "unified" if (root / "unified").is_dir() else root
        folder = top / path.lstrip("/")
        # A container sees its own cgroup as the root, while the path may still be that of the host.
        above = [folder, *folder.parents] if folder.is_dir() and ".." not in path else [top]
        for place in above[: above.index(top) + 1]:
            group = _v1(place) if is_v1 else _v2(place)
            if group:
                found.append(group)
    return found


class Memory:
    """The memory of this container."""

    def __init__(self, own_limit: int = 0, groups: list[Cgroup] | None = None) -> None:
        self._own_limit = own_limit
        self._groups = cgroups() if groups is None else groups
        limits = [group.limit for group in self._groups] + [own_limit] * bool(own_limit)
        self.limit = min([*limits, _meminfo("MemTotal:")])
        """The least of all limits."""
        self.reserve = max(LEAST_RESERVE, int(RESERVE * self.limit))

    def room(self, own_use: int) -> int:
        """What may still be taken, the reserve kept; negative where that is touched already.

        `own_use` is what the processes of this container have, of which the author's own limit is reckoned.
        """
        left = [group.left() for group in self._groups]
        left.append(_meminfo("MemAvailable:"))
        if self._own_limit:
            left.append(self._own_limit - own_use)
        return min(left) - self.reserve

    @property
    def counts_use(self) -> bool:
        """Whether `room` looks at `own_use`, which is slow to find out."""
        return bool(self._own_limit)

    def kills(self) -> int:
        """How many processes the kernel has killed here for want of memory."""
        return sum(_line(group.kills, "oom_kill") for group in self._groups)


@contextmanager
def limited(room: int) -> Iterator[None]:
    """This process may not have much more than `room` bytes beyond what it has now: who asks for more gets a
    MemoryError at once, where looking would come too late.

    It is a limit on what is asked for, not on what is used, and leaves so much more room as the two mostly differ.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _line(Path("/proc/self/status"), "VmData:") * 1024 + max(0, room) + max(UNTOUCHED, room // 2)
    if resource.RLIM_INFINITY not in (soft, hard):
        limit = min(limit, soft, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def proportional(pids: Iterable[int]) -> int:
    """The memory of some processes, what they share with others divided by their number (PSS); 0 for one that ended."""
    return _summed(pids, "Pss:")


def private(pids: Iterable[int]) -> int:
    """What some processes have written and share with nobody: it is free when they end."""
    return _summed(pids, "Private_Dirty:")


def family(pid: int) -> list[int]:
    """A process and all below it, but for what ends meanwhile."""
    found = [pid]
    for parent in found:
        try:
            threads = list(Path(f"/proc/{parent}/task").iterdir())
        except OSError:
            continue
        for thread in threads:
            found += [int(child) for child in _text(thread / "children").split()]
    return found


def size_on_disk(folder: str) -> int:
    """The bytes of all regular files below a folder."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                status = Path(where, name).stat()
            except OSError:
                continue
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def _summed(pids: Iterable[int], name: str) -> int:
    total = 0
    for pid in pids:
        try:
            total += _line(Path(f"/proc/{pid}/smaps_rollup"), name) * 1024
        except OSError:
            continue
    return total


def _v1(folder: Path) -> Cgroup | None:
    limit = _text(folder / "memory.limit_in_bytes").strip()
    # "No limit" is the largest multiple of the page size there.
    if not limit.isdigit() or int(limit) >= 1 << 60:
        return None
    return Cgroup(
        int(limit),
        folder / "memory.usage_in_bytes",
        folder / "memory.stat",
        "total_inactive_file",
        folder / "memory.oom_control",
    )


def _v2(folder: Path) -> Cgroup | None:
    limit = _text(folder / "memory.max").strip()
    if not limit.isdigit():
        return None
    used, statistics, events = folder / "memory.current", folder / "memory.stat", folder / "memory.events"
    return Cgroup(int(limit), used, statistics, "inactive_file", events)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _line(path: Path, name: str) -> int:
    """The number in the line that begins with this word; 0 where there is no such line."""
    for line in path.read_text().splitlines():
        words = line.split()
        if words and words[0] == name:
            return int(words[1])
    return 0


def _meminfo(name: str) -> int:
    try:
        kilobytes = _line(Path("/proc/meminfo"), name)
    except OSError:  # no such file on this system: then no limit either
        return 1 << 62
    return kilobytes * 1024
