"""An image saved as a file (`docker save`, `docker buildx build --output type=oci`): what its manifest is."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seaproof.errors import ProjectError

_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True)
class SavedImage:
    """A tar of an image."""

    path: Path

    def manifest(self) -> tuple[str, list[str]]:
        """The media type that a registry would be given, and what is in it where it is an index."""
        index = self._json("index.json")
        if index is None:
            return "application/vnd.docker.distribution.manifest.v2+json", []
        entries = index.get("manifests") or []
        if len(entries) != 1:
            return index.get("mediaType", "application/vnd.oci.image.index.v1+json"), [_describe(e) for e in entries]
        only = entries[0]
        inner = self._json("blobs/" + str(only.get("digest", "")).replace(":", "/")) or {}
        return str(only.get("mediaType", "")), [_describe(entry) for entry in inner.get("manifests") or []]

    def _json(self, name: str) -> dict[str, Any] | None:
        try:
            with tarfile.open(self.path) as tar:
                file = tar.extractfile(name)
                value = json.loads(file.read(_LIMIT)) if file else None
                return value if isinstance(value, dict) else None
        except KeyError:
            return None
        except (OSError, ValueError, tarfile.TarError) as error:
            raise ProjectError(f"the saved image cannot be read: {error}", where=str(self.path)) from error


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
