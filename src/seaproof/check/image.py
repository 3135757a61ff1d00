"""The image's own configuration, and a Docker image looked at through the engine, without running it."""

from __future__ import annotations

import base64
import io
import json
import os
import platform
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from seaproof.check.files import Entry
from seaproof.drivers.docker.engine import Engine, speaking
from seaproof.drivers.sandbox import processes

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_READ = 1024 * 1024
_LOOK, _LOOKER = "seaproof.look", "seaproof.look.by"
_INITS = ("tini", "tini-static", "dumb-init", "catatonit", "docker-init")
_WITH_VALUE = ("-p", "-e", "-r", "--rewrite")
"""Options of an init that are followed by their value."""
# Go's bits of a mode.
_FOLDER, _LINK = 1 << 31, 1 << 27


@dataclass(frozen=True)
class ImageConfig:
    """What `docker inspect` shows of an image, or what a Dockerfile will put there."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = "/"
    architecture: str = ""
    """`amd64`, `arm64`; empty where it is not known."""
    size: int | None = None
    """Bytes of all layers, unpacked."""
    media_type: str = ""
    """Of the manifest, where the engine tells it."""
    complete: bool = True
    """False where a base image is not here, so that something may be inherited that is not seen."""

    @property
    def path(self) -> str:
        """PATH as the container will have it."""
        return self.environment.get("PATH", DEFAULT_PATH)

    @property
    def program(self) -> tuple[str, ...]:
        """ENTRYPOINT without an init in front of it: empty where `train` and `serve` are what is executed."""
        words = self.entrypoint
        if not words or words[0].rpartition("/")[2] not in _INITS:
            return words
        words = words[1:]
        while words and words[0].startswith("-"):
            if words[0] == "--":
                return words[1:]
            words = words[2 if words[0] in _WITH_VALUE else 1 :]
        return words


class EngineImage:
    """A Docker image: a container of it is created, never started, and its files are fetched one by one."""

    complete = True
    resolves = True

    def __init__(self, engine: Engine, reference: str, id: str) -> None:
        self._client = engine.client()
        self._id, self.reference = id, reference
        self._container = ""
        self._known: dict[str, Entry | None] = {}
        self._read: dict[str, bytes] = {}

    def config(self) -> ImageConfig:
        """The image's configuration."""
        with speaking("the image could not be looked at", self.reference):
            found = self._client.inspect_image(self._id)
        return config_of(found)

    def stat(self, path: str) -> Entry | None:
        """See Files.stat; links on the way to it are followed by the engine."""
        if path not in self._known:
            self._known[path] = self._head(path)
        return self._known[path]

    def read(self, path: str, limit: int = _READ) -> bytes:
        """See Files.read."""
        if path not in self._read:
            self._read[path] = next(self._members(path, first=True, limit=_READ), (None, b""))[1]
        return self._read[path][:limit]

    def _head(self, path: str) -> Entry | None:
        """What the engine says of a path, without its content."""
        with speaking("the image's files could not be looked at", self.reference):
            url = self._client._url("/containers/{0}/archive", self._created())
            answer = self._client.head(url, params={"path": path})
        if answer.status_code != 200:
            return None
        told = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
        kind = 0o120000 if told["mode"] & _LINK else 0o040000 if told["mode"] & _FOLDER else 0o100000
        return Entry(path, kind | (told["mode"] & 0o777), told["size"], told.get("linkTarget", ""))

    def walk(self, folder: str) -> Iterator[Entry]:
        """See Files.walk."""
        for entry, _ in self._members(folder):
            if entry.path != folder:
                yield entry

    def place(self, path: str) -> str:
        """See Files.place."""
        return path

    def close(self) -> None:
        """Remove the container that was never started."""
        import docker.errors

        if self._container:
            with suppress(docker.errors.APIError):
                self._client.remove_container(self._container, force=True, v=True)
        self._client.close()

    def _created(self) -> str:
        """The id of a container of the image, which is never started."""
        if not self._container:
            self._remove_forgotten()
            labels = {_LOOK: self.reference, _LOOKER: _looker()}
            created = self._client.create_container(self._id, command=["seaproof-look"], labels=labels)
            self._container = created["Id"]
        return self._container

    def _remove_forgotten(self) -> None:
        """Remove such containers of processes of this machine that were killed."""
        import docker.errors

        here = _looker().partition(" ")[0]
        for found in self._client.containers(all=True, filters={"label": _LOOKER}):
            where, _, process = found["Labels"][_LOOKER].partition(" ")
            if where == here and not processes.is_alive(processes.parse(process)):
                with suppress(docker.errors.APIError):
                    self._client.remove_container(found["Id"], force=True, v=True)

    def _members(self, path: str, *, first: bool = False, limit: int = 0) -> Iterator[tuple[Entry, bytes]]:
        import docker.errors

        with speaking("the image's files could not be read", self.reference):
            try:
                pieces, _ = self._client.get_archive(self._created(), path)
            except docker.errors.NotFound:
                return
            parent = path.rstrip("/").rpartition("/")[0]
            try:
                with tarfile.open(fileobj=_Pieces(pieces), mode="r|") as tar:
                    for member in tar:
                        data = tar.extractfile(member) if limit and member.isreg() else None
                        yield entry_of(member, parent), data.read(limit) if data else b""
                        if first:
                            return
            finally:
                pieces.close()


def _looker() -> str:
    """Machine and process table, and this process in it."""
    table = ""
    with suppress(OSError):
        table = os.readlink("/proc/self/ns/pid")  # noqa: PTH115  text in brackets, no path
    return f"{platform.node()}-{table} {processes.this_process()}"


class _Pieces(io.RawIOBase):
    """An iterator of bytes as a stream that tarfile can read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._rest) < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._rest += piece
        taken, self._rest = (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        return taken


def entry_of(member: tarfile.TarInfo, parent: str) -> Entry:
    """A member of a tar as the entry of a file system, below `parent`."""
    kind = {tarfile.SYMTYPE: 0o120000, tarfile.DIRTYPE: 0o040000}.get(member.type, 0o100000)
    path = f"{parent}/{member.name}".rstrip("/") or "/"
    return Entry(
        path, kind | (member.mode & 0o7777), member.size, member.linkname if member.issym() else "", member.uid
    )


def config_of(found: Mapping[str, Any]) -> ImageConfig:
    """From what the engine's `inspect` says."""
    config = found.get("Config") or {}
    environment = dict(pair.partition("=")[::2] for pair in config.get("Env") or [])
    return ImageConfig(
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        environment=environment,
        labels=dict(config.get("Labels") or {}),
        user=config.get("User") or "",
        workdir=config.get("WorkingDir") or "/",
        architecture=found.get("Architecture", ""),
        size=found.get("Size"),
        media_type=(found.get("Descriptor") or {}).get("mediaType", ""),
    )
