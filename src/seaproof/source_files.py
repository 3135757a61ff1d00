"""Files of a user that become objects: all below a path, by the names that their keys get.

What cannot be sent as it is stops the command, since a job would silently read less than lies there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from seaproof.errors import SeaproofError


def source_files(path: Path) -> dict[str, Path]:
    """The file, or all files below the folder, links followed, sorted by name: name below it -> path.

    Empty where there are none. SeaproofError for a link to nothing or back into itself, for a pipe, socket or device,
    and for a name that is no UTF-8, as keys of S3 are.
    """
    if path.is_file():
        return {_key(path.name): path}
    return {_key(each.relative_to(path).as_posix()): each for each in sorted(_below(path))}


def _below(folder: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(folder, followlinks=True):
        for name in folders:
            linked = Path(at, name)
            if linked.is_symlink() and Path(at).resolve().is_relative_to(linked.resolve()):
                raise SeaproofError("a link leads back into the folder that it lies in", where=_shown(linked))
        for name in names:
            path = Path(at, name)
            if not path.is_file():
                kind = "a link to nothing" if path.is_symlink() else "what is no file (a pipe, a socket or a device)"
                raise SeaproofError(f"{kind} lies among the data", where=_shown(path), next_step="Remove it.")
            yield path


def _key(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SeaproofError(
            "the name of a file is no UTF-8, as names in S3 are", where=_shown(name), next_step="Give it another name."
        ) from None
    return name


def _shown(path: Path | str) -> str:
    return str(path).encode("utf-8", "backslashreplace").decode()
