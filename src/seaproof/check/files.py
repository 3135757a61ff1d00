"""What a check sees of a file system without running it: the folder of a program, a build context, an image's layers.

Paths are as the container has them (`/opt/program/serve`). Every view answers the same four questions, so that a
check need not know what it looks at.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Protocol

from seaproof.drivers.sandbox.command import is_the_tools_own

_LINKS = 16


@dataclass(frozen=True)
class Entry:
    """One file, folder or link of the view."""

    path: str
    mode: int
    """As stat gives it: kind and permissions."""
    size: int = 0
    link: str = ""
    uid: int = 0

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)

    @property
    def executable(self) -> bool:
        return bool(self.mode & 0o111)


class Files(Protocol):
    """A file system that is only looked at."""

    @property
    def complete(self) -> bool:
        """Whether a path that is not seen is not there; False for a Dockerfile whose base image is not here."""
        ...

    @property
    def resolves(self) -> bool:
        """Whether links among the folders of a path are followed by whoever answers."""
        ...

    def stat(self, path: str) -> Entry | None:
        """The entry at this path, a link not followed; None where nothing is seen."""
        ...

    def read(self, path: str, limit: int = 64 * 1024) -> bytes:
        """The first bytes of a file; empty where it cannot be read."""
        ...

    def walk(self, folder: str) -> Iterator[Entry]:
        """All below a folder, the folder itself left out."""
        ...

    def place(self, path: str) -> str:
        """Where a person can open the file; the path itself where it is only in an image."""
        ...


@dataclass(frozen=True)
class FolderFiles:
    """Folders of this machine as the container sees them: target -> folder or file; and, below, the machine's own."""

    mounts: Mapping[str, Path]
    host: bool = False
    """Whether the rest of the machine is seen too, as a program of the process driver sees it."""
    complete: bool = False
    resolves: bool = False
    executables: frozenset[str] = field(default_factory=frozenset)
    """Paths that the Dockerfile makes executable: `*` as in a shell; what ends in `/` stands for all below it."""

    def _real(self, path: str) -> Path | None:
        path = os.path.normpath("/" + path.lstrip("/"))
        for target in sorted(self.mounts, key=len, reverse=True):
            if path == target:
                return self.mounts[target]
            if path.startswith(target.rstrip("/") + "/"):
                found = self.mounts[target] / path[len(target.rstrip("/")) + 1 :]
                if found.is_symlink() or found.exists() or not self.host:
                    return found
        return Path(path) if self.host else None

    def stat(self, path: str) -> Entry | None:
        """See Files.stat."""
        real = self._real(path)
        try:
            found = real.lstat() if real else None
        except OSError:
            return None
        if real is None or found is None:
            return None
        made = any(fnmatch(path, f"{name}*" if name.endswith("/") else name) for name in self.executables)
        mode = found.st_mode | (0o111 if made else 0)
        link = str(real.readlink()) if stat.S_ISLNK(found.st_mode) else ""
        return Entry(path, mode, found.st_size, link, found.st_uid)

    def read(self, path: str, limit: int = 64 * 1024) -> bytes:
        """See Files.read."""
        real = self._real(path)
        try:
            if real is None or not stat.S_ISREG(real.stat().st_mode):
                return b""
            with real.open("rb") as file:
                return file.read(limit)
        except OSError:
            return b""

    def walk(self, folder: str) -> Iterator[Entry]:
        """See Files.walk."""
        for target, real in self.mounts.items():
            inside = target == folder or target.startswith(folder.rstrip("/") + "/")
            if inside and target != folder and (entry := self.stat(target)):
                yield entry
            if inside:
                yield from self._below(target, real)
            elif folder.startswith(target.rstrip("/") + "/"):
                yield from self._below(folder, real / folder[len(target.rstrip("/")) + 1 :])

    def _below(self, target: str, real: Path) -> Iterator[Entry]:
        if not real.is_dir():
            return
        for parent, folders, names in os.walk(real):
            folders[:] = [name for name in folders if name not in (".git", ".venv", "node_modules", "__pycache__")]
            for name in (*folders, *names):
                path = str(PurePosixPath(target) / Path(parent).relative_to(real) / name)
                if entry := self.stat(path):
                    yield entry

    def place(self, path: str) -> str:
        """See Files.place."""
        real = self._real(path)
        return str(real) if real and real.exists() else path


def follow(files: Files, path: str) -> tuple[Entry | None, str]:
    """The entry that a path leads to through links, and its path; None where it leads nowhere."""
    for _ in range(_LINKS):
        entry = files.stat(path)
        if entry is None:
            # One of its folders may be a link: /bin is one to /usr/bin.
            moved = None if files.resolves else _through_parents(files, path)
            if moved is None:
                return None, path
            path = moved
            continue
        if not entry.is_link:
            return entry, path
        path = os.path.normpath(os.path.join(os.path.dirname(path), entry.link))  # noqa: PTH118, PTH120  paths of a container
    return None, path


def _through_parents(files: Files, path: str) -> str | None:
    for parent in list(PurePosixPath(path).parents)[::-1]:
        entry = files.stat(str(parent))
        if entry is not None and entry.is_link:
            target = os.path.normpath(os.path.join(str(parent.parent), entry.link))  # noqa: PTH118
            return target + path[len(str(parent)) :]
    return None


def find_program(files: Files, word: str, path: str, workdir: str = "/") -> list[tuple[str, Entry]]:
    """All files that `word` could mean, in the order of PATH; those without an execute bit too."""
    if "/" in word:
        places = [os.path.normpath(os.path.join(workdir, word))]  # noqa: PTH118
    else:
        folders = [folder for folder in path.split(":") if folder and not is_the_tools_own(word, folder)]
        places = [f"{folder.rstrip('/')}/{word}" for folder in folders]
    found = []
    for place in places:
        entry, _ = follow(files, place)
        if entry is not None and not entry.is_folder:
            found.append((place, entry))
    return found
