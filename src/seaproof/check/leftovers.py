"""The scratch folder of a check, and what one that was killed left behind: containers, processes, the folder itself.

A check holds a lock in its folder for as long as it lives. A folder whose lock nobody holds belongs to one that was
killed; the next check ends what was started there and removes it.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from seaproof.errors import SeaproofError

_PREFIX, _HELD, _ENGINE = "seaproof-check-", "held", "engine"


def new_folder() -> tuple[Path, TextIO]:
    """A fresh folder, and the file whose lock says that it is in use; closing that gives it up."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    folder.chmod(0o755)
    held = (folder / f"{_HELD}.part").open("w", encoding="ascii")
    fcntl.flock(held, fcntl.LOCK_EX)
    (folder / f"{_HELD}.part").rename(folder / _HELD)  # nobody finds it before it is locked
    return folder, held


def uses_engine(folder: Path) -> None:
    """Note that containers of an engine belong to this folder."""
    (folder / _ENGINE).touch()


def clear() -> None:
    """Remove what checks that were killed left; what cannot be removed now is left to the next one."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError, SeaproofError), (folder / _HELD).open("r+", encoding="ascii") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _clear(folder)


def _clear(folder: Path) -> None:
    from seaproof.drivers.process import ProcessDriver

    ended = ProcessDriver(folder / "state", {})
    for handle in ended.recover():
        ended.stop(handle, 0)
    if (folder / _ENGINE).exists():
        from seaproof.drivers.docker import DockerDriver

        engine = DockerDriver(folder / "state")
        for handle in engine.recover():
            engine.stop(handle, 0)
    shutil.rmtree(folder)
