"""The containers of a serial inference pipeline, in order: what `seaproof pipeline` reads, in whatever notation.

    containers.jdn    Janet data notation, as hazal's users keep it
    containers.json   a list of objects, or {"containers": [...]}
    containers.toml   [[containers]]
    seaproof.toml     [[pipeline.containers]]

Each container has the same keys in all of them (see KEYS). Read once, frozen, every mistake named by container and key.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seaproof import jdn
from seaproof.errors import ProjectError
from seaproof.project import FolderImage, Project

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILES = ("containers.jdn", "containers.json", "containers.toml")
KEYS = {
    "type": "single (the default) or multi",
    "container": "its name: that of a running Docker container, exactly, unless it is started from image or folder",
    "image": "start it from this image, and stop it in the end",
    "folder": "start the program in this folder on the process driver, and stop it in the end",
    "serve": "the folder's command of serve, a list of words",
    "accept_bind_to_port": "the folder's program listens on SAGEMAKER_BIND_TO_PORT, not always on 8080",
    "environment": "variables of the container that is started",
    "model": "a folder that it finds as /opt/ml/model",
    "models": "a folder of models; it finds each as /opt/ml/models/<name>/model",
    "port": "where it answers on this machine if no engine knows it",
}
MOST = 15
"""Containers that SageMaker takes in one pipeline."""


@dataclass(frozen=True)
class PipelineContainer:
    """One container: adopted by its name where it runs already, or started."""

    name: str
    multi: bool = False
    """Multi-model: it is asked to load a model and then for its predictions."""
    image: str = ""
    program: FolderImage | None = None
    """The folder that is run on the process driver."""
    environment: Mapping[str, str] = field(default_factory=dict)
    model: Path | None = None
    models: Path | None = None
    port: int | None = None

    @property
    def is_adopted(self) -> bool:
        """Whether it is expected to run already; it is then never stopped."""
        return not self.image and self.program is None


@dataclass(frozen=True)
class InferencePipeline:
    """One pipeline, and where it was read."""

    file: Path
    containers: tuple[PipelineContainer, ...]
    notes: tuple[str, ...] = ()
    """What was read, is harmless, and should be said once."""

    @property
    def is_hazals(self) -> bool:
        """Whether its users expect replies as hazal gives them."""
        return self.file.suffix not in (".json", ".toml")


def find_pipeline(given: Path | None, folder: Path, project: Project) -> InferencePipeline:
    """The pipeline of the file or folder given; else the one there is in `folder` or in the project.

    ProjectError where there is none, or more than one to choose from.
    """
    if given is not None and not given.is_dir():
        return load_pipeline(given, project)
    found = [path for path in (Path(given or folder) / name for name in FILES) if path.is_file()]
    if given is None:
        if project.root != folder.absolute():
            found = found or [path for path in (project.root / name for name in FILES) if path.is_file()]
        if project.pipeline and project.file:
            found.append(project.file)
    if len(found) > 1:
        raise ProjectError(
            f"there is more than one configuration: {', '.join(path.name for path in found)}",
            where=str(found[0].absolute().parent),
            next_step=f"Say which: seaproof pipeline {found[0].name}",
        )
    if not found:
        raise ProjectError(
            f"there is no configuration: no {', '.join(FILES)} and no [[pipeline.containers]] in seaproof.toml",
            where=str(Path(given or folder).absolute()),
            next_step='A containers.jdn says, in order: [{:type "single" :container "NAME"}]',
        )
    return load_pipeline(found[0], project)


def load_pipeline(path: Path, project: Project) -> InferencePipeline:
    """Read one file; a name that says no notation is read as JDN. ProjectError names place and what is expected."""
    notes: list[str] = []
    if project.file and path.absolute() == project.file:
        value: Any = dict(project.pipeline)
    else:
        value = _read(path, notes)
    containers = tuple(
        _container(entry, f"{path}, container {number}", path, notes)
        for number, entry in enumerate(_entries(value, path), 1)
    )
    if not containers:
        raise ProjectError("it names no container", where=str(path), next_step="A pipeline has one at least.")
    if len(containers) > MOST:
        notes.append(f"SageMaker takes up to {MOST} containers in a pipeline; this one has {len(containers)}")
    return InferencePipeline(path, containers, tuple(notes))


def _read(path: Path, notes: list[str]) -> Any:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise ProjectError(
            "there is no such file", where=str(path), next_step="`seaproof pipeline --help` shows what one looks like."
        ) from None
    except OSError as error:
        raise ProjectError(f"it cannot be read: {error.strerror}", where=str(path)) from error
    try:
        if path.suffix == ".json":
            return json.loads(text)
        if path.suffix == ".toml":
            return tomllib.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ProjectError(f"it is not {path.suffix[1:].upper()}: {error}", where=str(path)) from error
    return _plain(jdn.parse(text.decode("utf-8", "surrogateescape"), str(path), notes))


def _plain(value: jdn.Value) -> Any:
    """As JSON would have it."""
    if isinstance(value, jdn.Struct):
        return {name: _plain(item) for name, item in value.named().items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, (jdn.Keyword, jdn.Symbol)):
        return value.name
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _entries(value: Any, path: Path) -> Iterator[Mapping[str, Any]]:
    """The containers, lists in lists opened, as hazal does."""
    if isinstance(value, dict) and "containers" in value:
        value = value["containers"]
    if isinstance(value, list):
        for item in value:
            yield from _entries(item, path)
    elif isinstance(value, dict):
        yield value
    else:
        raise ProjectError(
            f"a container is expected, not {value!r}",
            where=str(path),
            next_step='Like {:type "single" :container "NAME"}, in Janet data notation.',
        )


def _container(entry: Mapping[str, Any], where: str, path: Path, notes: list[str]) -> PipelineContainer:
    name = _text(entry, "container", where)
    if not name:
        raise ProjectError("it has no name", where=where, next_step='Give one: container "NAME".')
    where = f"{where} ({name})"
    unknown = sorted(set(entry) - set(KEYS))
    if unknown:
        notes.append(f"{where}: {', '.join(unknown)} is not known here and not used; known are {', '.join(KEYS)}")
    root = path.absolute().parent
    image, folder = _text(entry, "image", where), _folder(entry, "folder", where, root)
    if image and folder:
        raise ProjectError("it has an image and a folder", where=where, next_step="Give one of the two.")
    container = PipelineContainer(
        name=name,
        multi=_is_multi(entry, where, path),
        image=image,
        program=_program(entry, folder, where) if folder else None,
        environment=_environment(entry, where),
        model=_folder(entry, "model", where, root),
        models=_folder(entry, "models", where, root),
        port=_port(entry, where),
    )
    needless = [key for key in ("environment", "model", "models") if entry.get(key)]
    if container.is_adopted and needless:
        raise ProjectError(
            f"{needless[0]} can be given only to a container that is started here",
            where=where,
            next_step="Add its image or folder, or start it with them yourself.",
        )
    return container


def _is_multi(entry: Mapping[str, Any], where: str, path: Path) -> bool:
    given = _text(entry, "type", where).lower()
    if given == "single" or (not given and path.suffix in (".json", ".toml")):
        return False
    if given.startswith("multi"):
        return True
    raise ProjectError(f"its type is {given!r}", where=where, next_step="It can be single or multi.")


def _program(entry: Mapping[str, Any], folder: Path, where: str) -> FolderImage:
    serve = entry.get("serve", [])
    if not isinstance(serve, list) or not all(isinstance(word, str) for word in serve):
        raise ProjectError(f"serve is {serve!r}", where=where, next_step='It is a list: ["python", "serve.py"].')
    bind = entry.get("accept_bind_to_port", False)
    if not isinstance(bind, bool):
        raise ProjectError(f"accept_bind_to_port is {bind!r}", where=where, next_step="It can be true or false.")
    return FolderImage(folder=folder, serve=tuple(serve), accept_bind_to_port=bind)


def _text(entry: Mapping[str, Any], key: str, where: str) -> str:
    value = entry.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ProjectError(f"{key} is {value!r}", where=where, next_step="A text is expected.")
    return value


def _folder(entry: Mapping[str, Any], key: str, where: str, root: Path) -> Path | None:
    given = _text(entry, key, where)
    if not given:
        return None
    folder = root / given
    if not folder.is_dir():
        raise ProjectError(f"{key} is {given!r}, and there is no folder {folder}", where=where)
    return folder


def _environment(entry: Mapping[str, Any], where: str) -> dict[str, str]:
    given = entry.get("environment") or {}
    if not isinstance(given, dict) or any(isinstance(value, (dict, list)) for value in given.values()):
        raise ProjectError(f"environment is {given!r}", where=where, next_step="Names and values are expected.")
    return {name: str(v).lower() if isinstance(v, bool) else str(v) for name, v in given.items()}


def _port(entry: Mapping[str, Any], where: str) -> int | None:
    given = entry.get("port")
    if given is None:
        return None
    try:
        port = int(given)
    except (TypeError, ValueError, OverflowError):
        port = 0
    if not 1 <= port <= 65535 or isinstance(given, bool):
        raise ProjectError(f"port is {given!r}", where=where, next_step="It is a number from 1 to 65535.")
    return port
