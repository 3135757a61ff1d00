"""Log streams: what a workload prints, kept in files that outlive it."""

from __future__ import annotations

import threading
from contextlib import closing, suppress
from pathlib import Path

from seaproof.control.log_times import Clock
from seaproof.control.plane import Plane
from seaproof.drivers.driver import Handle
from seaproof.errors import DriverError

TAIL_LINES = 20


def follow(plane: Plane, handle: Handle, path: Path) -> threading.Thread:
    """Copy a workload's output to `path` until it ends, from where an earlier coordinator left off."""

    def copy() -> None:
        # Where the disk is full the log ends; the job goes on, and says itself what it could not save.
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab", buffering=0) as file, closing(Clock(path)) as clock:
                try:
                    for piece in plane.driver.logs(handle, follow=True, offset=file.tell()):
                        if plane.closing.is_set():
                            return  # the next coordinator goes on from what the file holds
                        clock.note(file.tell())
                        file.write(piece)
                except DriverError as error:
                    file.write(f"[seaproof] the log ends here: {error}\n".encode())

    # Not one of the plane's own threads: it ends with the workload, which may outlive the coordinator.
    thread = threading.Thread(target=copy, name=f"log {handle.name}", daemon=True)
    thread.start()
    return thread


def tail(path: Path, lines: int = TAIL_LINES, limit: int = 16_384) -> str:
    """The last lines of a log, at most `limit` bytes of it; "" where there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - limit))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def read(plane: Plane, group: str, stream: str, offset: int, limit: int = 1024 * 1024) -> bytes | None:
    """A piece of a log stream from byte `offset` on, at most `limit` bytes; None where there is no such stream.

    A negative offset counts from the end.
    """
    path = _inside(plane, group, f"{stream}.log")
    if path is None or not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(offset if offset >= 0 else max(0, file.seek(0, 2) + offset))
        return file.read(limit)


def streams(plane: Plane, group: str, owner: str) -> list[str] | None:
    """The log streams of one job or endpoint, oldest first, as `owner/name`; None for names that lead elsewhere."""
    folder = _inside(plane, group, owner)
    if folder is None:
        return None
    files = sorted(folder.rglob("*.log"), key=lambda path: (path.stat().st_mtime, path.name))
    return [f"{owner}/{path.relative_to(folder).as_posix().removesuffix('.log')}" for path in files]


def _inside(plane: Plane, *names: str) -> Path | None:
    """The path below the folder of logs, or None where it would leave it."""
    root = (plane.folder / "logs").resolve()
    if any("\0" in name for name in names):
        return None
    path = root.joinpath(*names).resolve()
    return path if root in path.parents else None
