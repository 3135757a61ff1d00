"""A place kept on the disk of the store, given up piece by piece when the disk is full.

A workload may fill the disk to the last byte, and then its own end could not be written down. So a file holds
enough room for many such writes. It is made smaller only by what a write is short of, as whatever fills the disk may
take the rest, and made whole again as soon as there is room.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SIZE = 512 * 1024
NEEDED = 128 * 1024
"""Bytes that are surely enough for one transaction with its log and index."""
_PLENTY = 4 * SIZE


def free(folder: Path) -> int:
    """Bytes that can still be written in a folder; a large number where that cannot be told."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return _PLENTY
    return disk.f_bavail * disk.f_frsize


def give_way(path: Path, needed: int = NEEDED) -> None:
    """Make the reserve at `path` smaller by what the disk is short of for one write; nothing where it has room."""
    missing = needed - free(path.parent)
    if missing <= 0:
        return
    with suppress(OSError):
        os.truncate(path, max(0, path.stat().st_size - missing))


def restore(path: Path) -> None:
    """Make the reserve whole again, where that leaves the disk as much as it takes; else leave it as it is."""
    try:
        missing = SIZE - (path.stat().st_size if path.exists() else 0)
        if missing <= 0 or free(path.parent) < 2 * missing + NEEDED:
            return
        with path.open("ab") as file:
            # No zeros: some file systems store those without using room.
            file.write(os.urandom(missing))
    except OSError:
        give_way(path)
