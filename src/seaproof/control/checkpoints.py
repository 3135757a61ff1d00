"""Checkpoints: restored from CheckpointConfig.S3Uri before the start, saved while the job runs, deletions included."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from seaproof.control.archives import merge
from seaproof.control.artifacts import is_inside
from seaproof.control.channels import clone
from seaproof.control.store import Body
from seaproof.errors import NoSuchObject, ServiceError, StorageError
from seaproof.storage.storage import Address, Storage, parse_address

DEFAULT = "/opt/ml/checkpoints"
_RESERVED = ("input", "model", "output")


@dataclass(frozen=True)
class Stamp:
    """What a stored object was made from, to tell whether a file has to be saved again."""

    size: int
    time: int
    """Nanoseconds since the epoch: the file's time where `exact`, else a time after which the file did not change."""
    exact: bool = False

    def matches(self, size: int, time: int) -> bool:
        """Whether a file of this size and time is what is stored."""
        return size == self.size and (time == self.time if self.exact else time <= self.time)


Known = dict[str, Stamp]
"""What the bucket is known to hold, by name below the prefix."""


def local_folder(request: Body) -> str | None:
    """The folder of the checkpoints below /opt/ml, such as `checkpoints`; None where the request asks for none.

    ServiceError for a LocalPath that is elsewhere: only /opt/ml is shared with the container.
    """
    config = request.get("CheckpointConfig")
    if not config:
        return None
    path = PurePosixPath(config.get("LocalPath") or DEFAULT)
    parts = path.parts[3:]
    if path.parts[:3] != ("/", "opt", "ml") or not parts or ".." in parts or parts[0] in _RESERVED:
        raise ServiceError(
            "ValidationException",
            f"Value '{path}' at 'checkpointConfig.localPath' is not supported here. Use a folder below /opt/ml that is"
            f" not below one of its {', '.join(_RESERVED)}; the default is {DEFAULT}.",
        )
    return "/".join(parts)


def restore(storage: Storage, uri: str, folders: Sequence[Path]) -> int:
    """Copy all that lies below `uri` into the folder of every host; returns how many objects there were."""
    prefix = _prefix(uri)
    known = stored(storage, uri)
    for name, stamp in known.items():
        first, *others = [folder / name for folder in folders]
        storage.download(Address(prefix.bucket, prefix.key + name), first)
        for other in others:
            other.parent.mkdir(parents=True, exist_ok=True)
            clone(first, other)
        for path in (first, *others):
            # With the object's own time, what was not touched is not saved again.
            os.utime(path, ns=(stamp.time, stamp.time))
    return len(known)


def stored(storage: Storage, uri: str) -> Known:
    """What the bucket holds now, for the first `save`."""
    prefix = _prefix(uri)
    try:
        objects = list(storage.list(prefix))
    except NoSuchObject:
        return {}
    found = {o.address.key[len(prefix.key) :]: Stamp(o.size, int(o.modified * 1e9)) for o in objects}
    return {name: stamp for name, stamp in found.items() if _is_plain(name)}


def save(storage: Storage, uri: str, roots: Sequence[Path], folder: str, known: Known, *, mirror: bool = True) -> Known:
    """Make the bucket hold what the hosts' folders hold: upload what changed and, as a `mirror`, delete what is gone.

    Only what is in `known` is deleted, so that others may keep their files beside. A file that vanishes or grows
    meanwhile is left for the next time. Returns the new `known`.
    """
    prefix = _prefix(uri)
    usable = [root / folder for root in roots if (root / folder).is_dir() and is_inside(root, root / folder)]
    now: Known = {}
    for path, name in merge(usable)[0]:
        try:
            if path.is_symlink() or not path.is_file():
                continue
            facts = path.stat()
            before = known.get(name)
            if before is None or not before.matches(facts.st_size, facts.st_mtime_ns):
                storage.upload(path, Address(prefix.bucket, prefix.key + name))
            now[name] = Stamp(facts.st_size, facts.st_mtime_ns, exact=True)
        except FileNotFoundError:
            continue
        except StorageError:
            if path.exists():
                raise
    for name in known.keys() - now.keys() if mirror else ():
        storage.delete(Address(prefix.bucket, prefix.key + name))
    return now


def _prefix(uri: str) -> Address:
    address = parse_address(uri)
    key = address.key.rstrip("/")
    return Address(address.bucket, f"{key}/" if key else "")


def _is_plain(name: str) -> bool:
    return bool(name) and not name.endswith("/") and not {"", ".", ".."} & set(name.split("/"))
