"""From what the user named to what is checked: an image, a Dockerfile, a program's folder, an archive, a project, a
request, a server that runs."""

from __future__ import annotations

import json
import re
import sys
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seaproof.api import spec, validate
from seaproof.check.dockerfile import Dockerfile, read_dockerfile
from seaproof.check.files import Files, FolderFiles, find_program
from seaproof.check.image import DEFAULT_PATH, EngineImage, ImageConfig, config_of
from seaproof.check.options import Options
from seaproof.check.saved import SavedFiles, SavedImage, is_saved_image
from seaproof.contract import http
from seaproof.drivers.docker.engine import Engine, find_engine
from seaproof.errors import DriverError, DriverUnavailable, ProjectError, SeaproofError
from seaproof.project import FILE, FolderImage, Project, find_project, load_project

PROGRAM = "checked"
"""The name under which the process driver knows a folder that is checked."""


@dataclass(frozen=True)
class Request:
    """A request to SageMaker that is checked before it is sent."""

    operation: str
    sent: Mapping[str, Any]
    """All of it, as it stands there."""
    body: Mapping[str, Any]
    """Of it, what has the type that the API gives it, so that it can be read."""
    place: str


@dataclass(frozen=True)
class Target:
    """What is checked. What is None or empty is not there."""

    text: str
    described: str
    image: str = ""
    """Reference of an image that the engine has."""
    engine: Engine | None = None
    program: FolderImage | None = None
    """A folder that the process driver runs."""
    config: ImageConfig | None = None
    files: Files | None = None
    dockerfile: Dockerfile | None = None
    archive: Path | None = None
    saved: SavedImage | None = None
    """An image in a file."""
    requests: tuple[Request, ...] = ()
    project: Project | None = None
    address: tuple[str, int] | None = None
    """Where a container that already runs answers."""
    roles: tuple[str, ...] = ()
    why_not_run: str = ""
    """Why nothing can be started here; empty where it can."""
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def runs(self) -> bool:
        """Whether something can be started."""
        return bool(self.image or self.program)

    def close(self) -> None:
        """Give back what looking at an image took."""
        if isinstance(self.files, EngineImage):
            self.files.close()


def find_target(text: str, options: Options) -> Target:
    """Say what the text names; ProjectError where it is none of what can be checked."""
    path = Path(text)
    address = re.fullmatch(r"(?:http://([\w.-]+)|(localhost|127\.0\.0\.1)):(\d+)/?", text)
    if address and not path.exists():
        return _running(text, address[1] or address[2], int(address[3]))
    if path.is_dir():
        target = _folder(path, options)
    elif path.is_file():
        target = _file(path, options)
    elif text.endswith((".toml", ".json", ".gz", ".tgz")) or text.startswith((".", "/")):
        raise ProjectError(
            "there is no such file or folder", where=text, next_step="Name an image, a folder or a file."
        )
    else:
        target = _endpoint(text) or _image(text, options)
    return _with_roles(target, options)


def _running(text: str, host: str, port: int) -> Target:
    return Target(
        text, f"a container that runs at {host}:{port}", address=(host, port), roles=("realtime",), why_not_run=_RUNS
    )


_SAVED = "an image in a file is only looked at; `docker load -i FILE` gives one that can be started"
_RUNS = "the target is a container that runs already, which is not stopped or started again"


def _endpoint(name: str) -> Target | None:
    """A container of an endpoint of this project's local server, where there is one of this name."""
    from seaproof.drivers.choice import open_driver
    from seaproof.settings import Settings, state_folder

    if not re.fullmatch(r"[a-zA-Z0-9](-?[a-zA-Z0-9]){0,62}", name):
        return None
    project = find_project(Path())
    with suppress(SeaproofError):
        settings = Settings.load(file=project.settings)
        state = state_folder(settings, project.root)
        if not state.is_dir():
            return None
        for handle in open_driver(settings, project, state).recover():
            if handle.port and handle.host and handle.name.startswith(f"endpoint-{name}-"):
                found = _running(name, handle.host, handle.port)
                return replace(found, described=f"endpoint {name}: its container {handle.name}", project=project)
    return None


def _file(path: Path, options: Options) -> Target:
    if path.name == "Dockerfile" or path.suffix == ".dockerfile":
        return _dockerfile(path, path.parent, options)
    if path.suffix == ".toml":
        return _project(load_project(path), options, str(path))
    if path.suffix == ".json":
        return Target(str(path), "requests to SageMaker", requests=read_requests(path))
    if is_saved_image(path):
        saved = SavedImage(path)
        config, files = saved.config(), SavedFiles(saved)
        described = f"an image saved in a file ({config.architecture or 'unknown architecture'})"
        return Target(str(path), described, config=config, files=files, saved=saved, why_not_run=_SAVED)
    return Target(str(path), "a model archive", archive=path)


def _folder(path: Path, options: Options) -> Target:
    if (path / FILE).exists():
        return _project(load_project(path / FILE), options, str(path))
    if (path / "Dockerfile").exists() and options.driver != "process":
        return _dockerfile(path / "Dockerfile", path, options)
    if any((path / verb).exists() for verb in ("serve", "train")):
        return _program(str(path), FolderImage(folder=path.absolute()))
    if (path / "Dockerfile").exists():
        return _dockerfile(path / "Dockerfile", path, options)
    raise ProjectError(
        "there is nothing to check in this folder",
        where=str(path),
        next_step=f"It needs a Dockerfile, a {FILE}, or executables named `serve` or `train`.",
    )


def _project(project: Project, options: Options, text: str) -> Target:
    engine, image_id = _local_image(project.image) if options.driver != "process" else (None, "")
    requests = [request for path in project.check.requests for request in read_requests(path)]
    requests += [_request(operation, body, f"{project.file}, [ship]") for operation, body in options.drafted]
    if engine and image_id:
        target = _engine_image(text, project.image, engine, image_id)
    elif project.image_folder:
        target = _program(text, project.image_folder)
    elif (project.root / "Dockerfile").exists():
        target = _dockerfile(project.root / "Dockerfile", project.root, options)
    elif requests or project.pipeline:
        target = Target(text, "requests and pipelines", why_not_run=f"there is no image {project.image!r}")
    else:
        raise ProjectError(
            f"there is no image {project.image!r}, no folder that stands for it, and no Dockerfile",
            where=str(project.file),
            next_step=f'Build it, or map a folder to it: [images."{project.image}"] folder = "."',
        )
    dockerfile = target.dockerfile
    if dockerfile is None and (project.root / "Dockerfile").exists() and not target.image:
        with suppress(SeaproofError):
            dockerfile = read_dockerfile(project.root / "Dockerfile", project.root, lambda name: None)
    return replace(
        target,
        described=f"project {project.name}: {target.described}",
        project=project,
        requests=tuple(requests),
        dockerfile=dockerfile,
    )


def _program(text: str, image: FolderImage) -> Target:
    mounts = {image.program: image.folder}
    own = f"{image.program}/.venv/bin:" if (image.folder / ".venv" / "bin").is_dir() else ""
    path = image.environment.get("PATH", f"{image.program}:{own}{Path(sys.executable).parent}:{DEFAULT_PATH}")
    labels = {http.LABEL_BIND_TO_PORT: "true"} if image.accept_bind_to_port else {}
    config = ImageConfig(
        environment={**image.environment, "PATH": path}, labels=labels, workdir=image.program, complete=True
    )
    return Target(
        text,
        f"the folder {image.folder}, run by the process driver",
        program=image,
        config=config,
        files=FolderFiles(mounts, host=True, complete=True),
    )


def _dockerfile(path: Path, context: Path, options: Options) -> Target:
    try:
        engine: Engine | None = find_engine()
        reason = ""
    except DriverUnavailable as error:
        engine, reason = None, f"no container engine answers ({error.what}), so the Dockerfile is only read"
    read = read_dockerfile(path, context, lambda name: _config_of(engine, name))
    target = Target(
        str(path), f"{path}, as it stands", config=read.config, files=read.files, dockerfile=read, why_not_run=reason
    )
    if engine is None or options.fast:
        return replace(target, why_not_run=reason or "--fast builds and starts nothing")
    id, problem = _build(engine, path, context)
    if problem:
        other = "; build it with `docker buildx build --load -t NAME .`, then: seaproof check NAME"
        return replace(
            target, why_not_run=f"the image could not be built: {problem}{other if 'BuildKit' in problem else ''}"
        )
    built = _engine_image(str(path), id, engine, id)
    return replace(built, described=f"the image built from {path}", dockerfile=read)


def _build(engine: Engine, path: Path, context: Path) -> tuple[str, str]:
    """The id of the image that the Dockerfile gives, or why it gives none."""
    import docker.errors

    client = engine.client(timeout=1800)
    last: list[str] = []
    try:
        where = str(path.relative_to(context))
        for step in client.build(path=str(context), dockerfile=where, rm=True, forcerm=True, decode=True):
            if "error" in step:
                return "", " ".join([*last[-3:], str(step["error"]).strip()])
            last += [line.strip() for line in str(step.get("stream", "")).splitlines() if line.strip()]
            if id := (step.get("aux") or {}).get("ID"):
                last.append(f"id {id}")
    except (docker.errors.DockerException, OSError) as error:
        return "", str(error)
    finally:
        client.close()
    found = next((line[3:] for line in reversed(last) if line.startswith("id ")), "")
    return (found, "") if found else ("", "the engine gave no image id")


def _image(text: str, options: Options) -> Target:
    if options.driver == "process":
        raise ProjectError(
            f"{text!r} is no folder, and the process driver runs only folders",
            next_step="Name a folder, or leave --driver process out.",
        )
    from seaproof.drivers.docker.images import resolve

    engine = find_engine()
    client = engine.client()
    try:
        id = resolve(client, text)
    finally:
        client.close()
    return _engine_image(text, text, engine, id)


def _engine_image(text: str, reference: str, engine: Engine, id: str) -> Target:
    files = EngineImage(engine, reference, id)
    config = files.config()
    size = f", {config.size / 1e6:,.0f} MB" if config.size else ""
    described = f"the image {reference} ({config.architecture or 'unknown architecture'}{size})"
    return Target(text, described, image=reference, engine=engine, config=config, files=files)


def _local_image(reference: str) -> tuple[Engine | None, str]:
    from seaproof.drivers.docker.images import local

    try:
        engine = find_engine()
    except DriverError:
        return None, ""
    client = engine.client()
    try:
        return engine, local(client, reference) or ""
    finally:
        client.close()


def _config_of(engine: Engine | None, reference: str) -> ImageConfig | None:
    import docker.errors

    if engine is None:
        return None
    client = engine.client()
    try:
        return config_of(client.inspect_image(reference))
    except docker.errors.DockerException:
        return None
    finally:
        client.close()


def read_requests(path: Path) -> tuple[Request, ...]:
    """Requests in a JSON file: {"CreateModel": {...}, ...}, or one body in a file that is called CreateModel.json."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProjectError(f"it cannot be read as JSON: {error}", where=str(path)) from error
    if not isinstance(value, dict):
        raise ProjectError("a JSON object is expected", where=str(path), next_step='Such as {"CreateModel": {...}}.')
    if all(re.fullmatch(r"(Create|Update|Invoke|Delete|Describe)[A-Za-z]+", name) for name in value) and value:
        return tuple(
            _request(name, body, f"{path}, {name}")
            for name, bodies in value.items()
            for body in (bodies if isinstance(bodies, list) else [bodies])
        )
    operation = "".join(part[:1].upper() + part[1:] for part in re.split(r"[-_]", path.stem))
    return (_request(operation, value, str(path)),)


def _request(operation: str, sent: Any, place: str) -> Request:
    if not isinstance(sent, dict):
        raise ProjectError("the request is no JSON object", where=place, next_step='Such as {"ModelName": "flowers"}.')
    known = operation in spec.operations().values()
    shape = spec.input_shape(operation) if known else None
    return Request(operation, sent, validate.fitting(shape, sent) if shape is not None else {}, place)


def is_archive(path: Path) -> bool:
    """Whether a model is given as an archive, not as a folder."""
    return path.is_file() and (path.suffix in (".gz", ".tgz") or tarfile.is_tarfile(path))


def _with_roles(target: Target, options: Options) -> Target:
    """The roles asked for, or those that can be seen."""
    if options.roles:
        return replace(target, roles=options.roles)
    if target.roles or target.archive or target.config is None or target.files is None:
        return target
    config, files, roles = target.config, target.files, []
    has = {verb: bool(find_program(files, verb, config.path, config.workdir)) for verb in ("train", "serve")}
    if target.program:
        has = {"train": has["train"] or bool(target.program.train), "serve": has["serve"] or bool(target.program.serve)}
    entry = bool(config.program)
    project = target.project
    if has["serve"] or entry or not (has["train"] or has["serve"]):
        roles += ["realtime", "batch"]
    if config.labels.get(http.LABEL_MULTI_MODELS, "").lower() == "true":
        roles += ["multi-model"]
    channels = options.channels or (project.training.channels if project is not None else {})
    if has["train"] or (entry and channels):
        roles += ["training"]
    if project is not None and project.pipeline:
        roles += ["pipeline"]
    roles += _asked_of(target.requests)
    return replace(target, roles=tuple(dict.fromkeys(roles)))


def _asked_of(requests: tuple[Request, ...]) -> list[str]:
    """What the requests will make of the image."""
    roles = []
    for request in requests:
        body = request.body
        variants = body.get("ProductionVariants") or []
        containers = [*(body.get("Containers") or []), body.get("PrimaryContainer") or {}]
        asked = {
            "async": bool(body.get("AsyncInferenceConfig")),
            "serverless": any(variant.get("ServerlessConfig") for variant in variants),
            "multi-model": any(container.get("Mode") == "MultiModel" for container in containers),
            "pipeline": len(body.get("Containers") or []) > 1,
            "batch": request.operation == "CreateTransformJob",
            "training": request.operation == "CreateTrainingJob",
            "processing": request.operation == "CreateProcessingJob",
        }
        roles += [role for role, yes in asked.items() if yes]
    return roles
