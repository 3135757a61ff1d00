"""An image saved as a file (`docker save`, `docker buildx build --output type=oci`): its manifest and what is in it.

Layers are read where they lie in the tar, so nothing is unpacked and no engine is needed.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any

from seaproof.check.files import Entry
from seaproof.check.image import ImageConfig, config_of, entry_of
from seaproof.errors import ProjectError

_LIMIT = 4 * 1024 * 1024
_GONE, _EMPTIED = ".wh.", ".wh..wh..opq"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class Layers:
    """The files of all layers, one over another, and the bytes that they take unpacked."""

    entries: dict[str, tuple[Entry, str, str]]
    """Path -> the entry, the layer that it is of, and its name in there."""
    size: int
    whole: bool
    """Whether every layer could be read."""


class SavedImage:
    """A tar of an image."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def manifest(self) -> tuple[str, list[str]]:
        """The media type that a registry would be given, and what is in it where it is an index."""
        index = self._index
        if index is None:
            return DOCKER, []
        entries = index.get("manifests") or []
        if len(entries) != 1:
            return index.get("mediaType", "application/vnd.oci.image.index.v1+json"), [_describe(e) for e in entries]
        inner = self._blob(entries[0]) or {}
        return str(entries[0].get("mediaType", "")), [_describe(entry) for entry in inner.get("manifests") or []]

    @cached_property
    def _index(self) -> dict[str, Any] | None:
        found = self._json("index.json")
        return found if isinstance(found, dict) else None

    @cached_property
    def _single(self) -> tuple[dict[str, Any], list[str]]:
        """The configuration of the one image in it (of several, the first), and the names of its layers."""
        listed = self._json("manifest.json")
        if isinstance(listed, list) and listed:
            config = self._json(str(listed[0].get("Config")))
            return config if isinstance(config, dict) else {}, [str(name) for name in listed[0].get("Layers") or []]
        descriptor: dict[str, Any] = {"digest": ""}
        manifest: dict[str, Any] = self._index or {}
        while manifest.get("manifests"):
            images = [entry for entry in manifest["manifests"] if not _is_attestation(entry)]
            descriptor = (images or manifest["manifests"])[0]
            manifest = self._blob(descriptor) or {}
        config = self._blob(manifest.get("config") or {})
        return config or {}, [_blob_name(layer) for layer in manifest.get("layers") or []]

    def config(self) -> ImageConfig:
        """The image's configuration; its size is that of the layers, unpacked."""
        config, _ = self._single
        found = config_of({"Config": config.get("config"), "Architecture": config.get("architecture", "")})
        return replace(found, size=self.layers.size or None, complete=self.layers.whole)

    @cached_property
    def layers(self) -> Layers:
        """See Layers; found once."""
        entries: dict[str, tuple[Entry, str, str]] = {}
        size, whole = 0, bool(self._single[1])
        with tarfile.open(self.path) as tar:
            for layer in self._single[1]:
                try:
                    file = tar.extractfile(layer)
                    assert file is not None
                    with tarfile.open(fileobj=file) as inner:
                        for member in inner:
                            _lay(entries, member, layer)
                        size += inner.offset
                except (KeyError, tarfile.TarError, OSError, EOFError):
                    whole = False  # zstd, or cut off
        return Layers(entries, size, whole)

    def open(self, layer: str, name: str, limit: int) -> bytes:
        """The first bytes of a file in a layer."""
        with tarfile.open(self.path) as tar:
            file: IO[bytes] | None = tar.extractfile(layer)
            with tarfile.open(fileobj=file) as inner:
                found = inner.extractfile(name)
                return found.read(limit) if found else b""

    def _blob(self, descriptor: dict[str, Any]) -> dict[str, Any] | None:
        found = self._json(_blob_name(descriptor))
        return found if isinstance(found, dict) else None

    def _json(self, name: str) -> Any:
        try:
            with tarfile.open(self.path) as tar:
                file = tar.extractfile(name)
                return json.loads(file.read(_LIMIT)) if file else None
        except KeyError:
            return None
        except (OSError, ValueError, tarfile.TarError) as error:
            raise ProjectError(f"the saved image cannot be read: {error}", where=str(self.path)) from error


@dataclass(frozen=True)
class SavedFiles:
    """The files of a saved image, as `Files`."""

    image: SavedImage
    resolves: bool = False

    @property
    def complete(self) -> bool:
        """See Files.complete."""
        return self.image.layers.whole

    def stat(self, path: str) -> Entry | None:
        """See Files.stat."""
        found = self.image.layers.entries.get(path.rstrip("/") or "/")
        return found[0] if found else None

    def read(self, path: str, limit: int = 64 * 1024) -> bytes:
        """See Files.read."""
        found = self.image.layers.entries.get(path)
        if found is None or not found[0].is_file:
            return b""
        return self.image.open(found[1], found[2], limit)

    def walk(self, folder: str) -> Iterator[Entry]:
        """See Files.walk."""
        prefix = folder.rstrip("/") + "/"
        for path, (entry, _, _) in self.image.layers.entries.items():
            if path.startswith(prefix):
                yield entry

    def place(self, path: str) -> str:
        """See Files.place."""
        return path


def _lay(entries: dict[str, tuple[Entry, str, str]], member: tarfile.TarInfo, layer: str) -> None:
    """Lay one member of a layer over what lies below it: a file, or a mark that something is gone."""
    entry = entry_of(member, "")
    path = PurePosixPath("/" + entry.path.removeprefix("/.").lstrip("/"))
    if path.name == _EMPTIED or path.name.startswith(_GONE):
        gone = path.parent if path.name == _EMPTIED else path.with_name(path.name.removeprefix(_GONE))
        prefix = f"{gone}/"
        for known in [p for p in entries if p.startswith(prefix) or (p == str(gone) and path.name != _EMPTIED)]:
            if entries[known][1] != layer:
                del entries[known]
        return
    entries[str(path)] = replace(entry, path=str(path)), layer, member.name


def _blob_name(descriptor: dict[str, Any]) -> str:
    return "blobs/" + str(descriptor.get("digest", "")).replace(":", "/")


def _is_attestation(entry: dict[str, Any]) -> bool:
    return "vnd.docker.reference.type" in (entry.get("annotations") or {})


def is_saved_image(path: Path) -> bool:
    """Whether the file is a tar with an image in it."""
    try:
        with tarfile.open(path, "r:") as tar:  # a gzipped one with a manifest.json is a model
            for _ in range(64):
                member = tar.next()
                if member is None:
                    return False
                if member.name in ("oci-layout", "index.json", "manifest.json"):
                    return True
    except (OSError, tarfile.TarError, EOFError):
        return False
    return False


def _describe(entry: dict[str, Any]) -> str:
    platform = entry.get("platform") or {}
    kind = (entry.get("annotations") or {}).get("vnd.docker.reference.type", "")
    return (
        f"{entry.get('mediaType', '?')}  {platform.get('os', '?')}/{platform.get('architecture', '?')}  {kind}".rstrip()
    )
