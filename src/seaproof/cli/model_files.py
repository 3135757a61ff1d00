"""Saved models given on the command line: which files make up the model's folder, and where each stands in it.

What the model is, the container's own program says, started as a process: the tool does not load models.
"""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seaproof.control import archives
from seaproof.errors import ArchiveError, SeaproofError
from seaproof.settings import inherited_environ

SCHEMA = "schema.json"
CODE = ("inference.py", "requirements.txt")
"""Files that hosting expects in `code/`."""

Entries = list[tuple[Path, str]]


def lay_out(files: Sequence[Path]) -> Entries:
    """Each file with its name in the model's folder. SeaproofError for what is missing, or what would clash.

    A file stands at the top, inference.py and requirements.txt in code/. A folder alone is the model's folder; beside
    others it keeps its name. A schema.json that lies beside a single model file comes with it.
    """
    for path in files:
        if not path.exists():
            raise SeaproofError(f"there is no file or folder {path}", next_step="Give the path of a saved model.")
    if len(files) == 1 and files[0].is_dir():
        entries = _sound(list(archives.walk(files[0])))
    else:
        entries = [entry for path in files for entry in _of(path)]
    schema = files[0].parent / SCHEMA
    if len(files) == 1 and files[0].is_file() and schema.is_file() and files[0].name != SCHEMA:
        entries.append((schema, SCHEMA))
    names: set[str] = set()
    for path, name in entries:
        if name in names:
            raise ArchiveError(
                f"two files would be {name}", where=str(path), next_step="Give one of them another name."
            )
        names.add(name)
    if not any(path.is_file() for path, _ in entries):
        raise ArchiveError("there is no file to pack", where=str(files[0]), next_step="Give a saved model.")
    for path in files:
        if path.is_file() and not path.stat().st_size and path.suffix != ".py" and path.name not in CODE:
            raise ArchiveError(
                f"{path.name} is empty",
                where=str(path),
                next_step="Save the model again: this is what a save that broke off leaves.",
            )
    return entries


def _of(path: Path) -> Entries:
    if path.is_dir():
        # A name of its own also for `.` and `..`.
        name = path.resolve().name
        return _sound([(path, name), *((inside, f"{name}/{rest}") for inside, rest in archives.walk(path))])
    return _sound([(path.resolve(), f"code/{path.name}" if path.name in CODE else path.name)])


def _sound(entries: Entries) -> Entries:
    """The entries, if hosting would take them all; files of macOS, which no model needs, are left out."""
    for path, name in entries:
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            kind = "a symlink" if stat.S_ISLNK(mode) else "neither a file nor a folder"
            raise ArchiveError(
                f"{name} is {kind}",
                where=str(path),
                next_step='SageMaker hosting answers "Failed to extract model data archive". '
                "Put the file itself in its place, or leave it out.",
            )
    return [(path, name) for path, name in entries if not path.name.startswith("._") and path.name != ".DS_Store"]


def put(files: Sequence[Path], folder: Path) -> None:
    """Make the model's folder of these files, or of the one model.tar.gz that is given."""
    if len(files) == 1 and files[0].name.endswith((".tar.gz", ".tgz")):
        archives.unpack(files[0], folder)
        return
    folder.mkdir(parents=True, exist_ok=True)
    for path, name in lay_out(files):
        target = folder / name
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def facts(folder: Path, python: str) -> dict[str, Any]:
    """What the container would find in this folder. SeaproofError in its words where it could not serve it."""
    done = subprocess.run(
        [python, "-m", "seaproof.formats", str(folder)],
        env=inherited_environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        said: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise SeaproofError(
            f"{python} cannot run seaproof: {done.stderr.strip()[-300:]}",
            where="--python",
            next_step="Install seaproof beside the model's libraries, or name another Python.",
        ) from None
    if "what" in said:
        raise SeaproofError(said["what"], where=said.get("where", ""), next_step=said.get("next_step", ""))
    return said
