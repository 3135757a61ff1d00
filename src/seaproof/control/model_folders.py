"""The models of a multi-model container on its disk: `<opt_ml>/models/<name>/model`, fetched from below a prefix.

    models/<name>/model/         the archive, unpacked; what the container is told to load
    models/<name>/source.json    which object it is; written last, so that a folder without it is not whole

The name is a hash of the object's address, opaque and always the same, as on the platform. The archive itself is
removed as soon as it is unpacked.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from seaproof.control.archives import unpack
from seaproof.errors import ArchiveError, NoSuchObject, ServiceError, StorageError
from seaproof.storage.storage import Address, Object, Storage

_PIECE = 1024 * 1024
_SOURCE = "source.json"


class ModelFolders:
    """The shelf (see `loading.Shelf`) of one instance. `root` is its folder `models` as seen here, `seen_as` as the
    container sees it."""

    def __init__(self, storage: Storage, prefix: Address, root: Path, seen_as: str = "/opt/ml/models") -> None:
        self._storage = storage
        self._prefix = prefix
        self._root = root
        self._seen_as = seen_as

    def name(self, target: str) -> str:
        """32 hexadecimal digits."""
        return hashlib.sha256(str(self._address(target)).encode()).hexdigest()[:32]

    def url(self, name: str) -> str:
        """The folder as the container sees it."""
        return f"{self._seen_as}/{name}/model"

    def held(self) -> list[tuple[str, str, int]]:
        """What an earlier coordinator unpacked here; folders that are not whole are removed."""
        found = []
        for folder in sorted(self._root.iterdir()) if self._root.is_dir() else []:
            source = _read(folder)
            if source:
                found.append((folder.name, str(source["target"]), int(source["bytes"])))
            else:
                self.remove(folder.name)
        return found

    def missing(self, target: str, name: str) -> int | None:
        """The archive's bytes; None where this very object is unpacked already."""
        found = self._find(target)
        return None if _read(self._root / name).get("object") == _identity(found) else found.size

    def fetch(self, target: str, name: str, check: Callable[[], None]) -> int:
        """Copy the archive, unpack it, and remove it; the bytes of the files that were in it."""
        found, folder = self._find(target), self._root / name
        archive = folder / "model.tar.gz"
        try:
            self.remove(name)
            folder.mkdir(parents=True)
            with self._storage.open(found.address) as reader, archive.open("wb") as writer:
                while piece := reader.read(_PIECE):
                    writer.write(piece)
                    check()
            unpack(archive, folder / "model")
            archive.unlink()
            size = _size(folder / "model")
            source = {"target": target, "object": _identity(found), "bytes": size}
            (folder / _SOURCE).write_text(json.dumps(source), encoding="utf-8")
        except ArchiveError as error:
            raise ServiceError(
                "ValidationError",
                f'Failed to extract model data archive for target model "{target}" from URL: "{found.address}". '
                f"Please ensure that the object located at the URL is a valid tar.gz archive. Cause: {error}",
            ) from error
        except StorageError as error:
            raise self._not_downloaded(target, error) from error
        except OSError as error:
            raise ServiceError(
                "ValidationError",
                f'Failed to store model data of target model "{target}" in {folder}: {error.strerror or error}',
            ) from error
        return size

    def remove(self, name: str) -> None:
        """Remove the model's folder; one that is not there is passed over."""
        folder = self._root / name
        # First of all: what is half removed is not whole.
        with suppress(OSError):
            (folder / _SOURCE).unlink()
        shutil.rmtree(folder, ignore_errors=True)

    def _find(self, target: str) -> Object:
        address = self._address(target)
        try:
            # The key itself comes before all keys that begin with it.
            found = next(iter(self._storage.list(address)), None)
        except StorageError as error:
            raise self._not_downloaded(target, error) from error
        if found is None or found.address != address:
            raise self._not_downloaded(target, NoSuchObject("there is no such object", where=str(address)))
        return found

    def _address(self, target: str) -> Address:
        key = self._prefix.key
        return Address(self._prefix.bucket, f"{key}{'' if not key or key.endswith('/') else '/'}{target}")

    def _not_downloaded(self, target: str, cause: StorageError) -> ServiceError:
        address = self._address(target)
        return ServiceError(
            "ValidationError",
            f"Failed to download model data(bucket: {address.bucket}, key: {address.key}). Please ensure that there is "
            f"an object located at the URL and that the role passed to CreateModel has permissions to download the "
            f"model. Cause: {cause}",
        )


def _identity(found: Object) -> list[Any]:
    return [str(found.address), found.size, found.modified]


def _read(folder: Path) -> dict[str, Any]:
    try:
        source = json.loads((folder / _SOURCE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return source if isinstance(source, dict) and {"target", "object", "bytes"} <= source.keys() else {}


def _size(folder: Path) -> int:
    return sum((Path(where) / name).stat().st_size for where, _, names in os.walk(folder) for name in names)
