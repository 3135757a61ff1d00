"""seaproof.toml -> Project: what an author keeps in a folder. Read once, frozen, every mistake named by key.

[project]                         name and default image
[images."NAME"]                   an image as a folder, for the process driver (see FolderImage)
[images."NAME".environment]       variables that this image always sees, as ENV in a Dockerfile
[training] [training.channels] [training.hyperparameters] [training.metrics]
                                  beside a `target`, all else in [training] is a training config
[endpoint] [endpoint.environment] what `seaproof train` and `seaproof serve` ask for
[endpoint.config] [endpoint.variant]    more of CreateEndpointConfig and of its variant, in SageMaker's words
[[pipeline.containers]]           what `seaproof pipeline` runs, read by inference_pipeline.py
[check]                           what `seaproof check` sends, and requests that it holds against the API
[ship] [stage.NAME]               where and how it goes to AWS, read by ship/shipment.py
[settings]                        the knobs of settings.py
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seaproof.errors import ProjectError
from seaproof.toml_table import Table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "seaproof.toml"
BUILT_IN = "seaproof-built-in"
"""The image of who has none: what seaproof is installed beside, as a folder. It trains by a config and serves a saved
model."""


_JOB_KEYS = {
    *("channels", "content_types", "hyperparameters", "metrics", "environment", "instance_type", "instance_count"),
    "max_runtime",
}
"""What `[training]` says of the job itself; beside a `target` all else there is a training config."""


@dataclass(frozen=True)
class FolderImage:
    """A container image as a plain folder: what the process driver runs where no engine is needed."""

    folder: Path
    """The program's folder on this machine, absolute; where namespaces work it is seen at `program`."""
    train: tuple[str, ...] = ()
    """Command of `train`; empty: an executable `train` in the folder or on PATH, as SageMaker finds it."""
    serve: tuple[str, ...] = ()
    """Command of `serve`; likewise."""
    process: tuple[str, ...] = ()
    """What runs where neither entrypoint nor arguments are given, as in a processing job: an image's default."""
    program: str = "/opt/program"
    """Where the workload sees its folder (and starts in it)."""
    environment: Mapping[str, str] = field(default_factory=dict)
    accept_bind_to_port: bool = False
    """As the image label of that name: it listens on SAGEMAKER_BIND_TO_PORT. Otherwise it listens on 8080, and
    gets a network namespace of its own so that several can."""
    network: str = "auto"
    """`host` shares the machine's network even where the port is fixed; `own` never does; `auto` decides."""


@dataclass(frozen=True)
class Training:
    """What `seaproof train` asks for, unless flags say otherwise."""

    channels: Mapping[str, str] = field(default_factory=dict)
    """Channel name -> a local folder or file, or an s3:// prefix."""
    content_types: Mapping[str, str] = field(default_factory=dict)
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    """Metric name -> regular expression with one group."""
    environment: Mapping[str, str] = field(default_factory=dict)
    instance_type: str = "ml.m5.large"
    instance_count: int = 1
    max_runtime: int = 86400
    config: Mapping[str, Any] = field(default_factory=dict)
    """A training config, where the table holds one; `training_file` reads it."""


@dataclass(frozen=True)
class Endpoint:
    """What `seaproof serve` asks for."""

    name: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    instance_type: str = "ml.m5.large"
    instance_count: int = 1
    config: Mapping[str, Any] = field(default_factory=dict)
    """Further members of CreateEndpointConfig, such as AsyncInferenceConfig."""
    variant: Mapping[str, Any] = field(default_factory=dict)
    """Further members of its production variant, such as ServerlessConfig."""


@dataclass(frozen=True)
class Checked:
    """What `seaproof check` is given, unless flags say otherwise; paths are absolute."""

    payload: Path | None = None
    content_type: str = ""
    accept: str = ""
    model: Path | None = None
    """A model.tar.gz or a folder."""
    requests: tuple[Path, ...] = ()
    """JSON files with requests to SageMaker."""


@dataclass(frozen=True)
class Project:
    """One project folder; `file` is None where there is no seaproof.toml and defaults hold."""

    root: Path
    name: str
    image: str
    file: Path | None = None
    images: Mapping[str, FolderImage] = field(default_factory=dict)
    training: Training = Training()
    endpoint: Endpoint = Endpoint()
    check: Checked = Checked()
    settings: Mapping[str, Any] = field(default_factory=dict)
    pipeline: Mapping[str, Any] = field(default_factory=dict)
    """As it stands there; `inference_pipeline` reads it."""
    ship: Mapping[str, Any] = field(default_factory=dict)
    """As it stands there; `ship.shipment` reads it, and the stages with it."""
    stages: Mapping[str, Any] = field(default_factory=dict)

    @property
    def image_folder(self) -> FolderImage | None:
        """The folder that stands for the project's own image, if one does."""
        return self.images.get(self.image) or self.images.get(self.image.partition(":")[0])


def built_in_image() -> FolderImage:
    """The folder that stands for `BUILT_IN`, run by this very Python."""
    run = (sys.executable, "-m", "seaproof.container")
    folder = Path(__file__).parent / "image"
    return FolderImage(folder, train=(*run, "train"), serve=(*run, "serve"), accept_bind_to_port=True)


def find_project(start: Path) -> Project:
    """The project of `start` or of the nearest folder above it that has a seaproof.toml; else `start` itself."""
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / FILE).exists():
            return load_project(folder / FILE)
    return Project(root=start, name=plain_name(start.name), image=plain_name(start.name))


def load_project(path: Path) -> Project:
    """Read one seaproof.toml; ProjectError names file, key and what is expected there."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProjectError("there is no such file", where=str(path), next_step="`seaproof init` writes one.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProjectError(
            f"it cannot be read as TOML: {error}",
            where=str(path),
            next_step="Mend it there: a text stands in quotes, a key once in its table, a list in brackets.",
        ) from error
    root = path.absolute().parent
    top = Table(given, str(path), "")
    project = top.table("project")
    name = project.text("name", plain_name(root.name))
    if name != plain_name(name):
        raise project.error("name", f"{name!r} is no name that SageMaker takes; {plain_name(name)!r} would be one")
    images = top.table("images")
    result = Project(
        root=root,
        name=name,
        image=project.text("image", name),
        file=path.absolute(),
        images={key: _image(images.table(key), root) for key in images.names()},
        training=_training(top.table("training")),
        endpoint=_endpoint(top.table("endpoint")),
        check=_checked(top.table("check"), root),
        settings=top.table("settings").rest(),
        pipeline=top.table("pipeline").rest(),
        ship=top.table("ship").rest(),
        stages=top.table("stage").rest(),
    )
    project.done()
    top.done()
    return result


def _image(table: Table, root: Path) -> FolderImage:
    folder = (root / table.text("folder", ".")).absolute()
    if not folder.is_dir():
        raise table.error("folder", f"there is no folder {folder}")
    network = table.text("network", "auto")
    if network not in ("auto", "host", "own"):
        raise table.error("network", f"{network!r} is none of auto, host, own")
    image = FolderImage(
        folder=folder,
        train=table.words("train"),
        serve=table.words("serve"),
        process=table.words("process"),
        program=table.text("program", FolderImage.program),
        environment=table.texts("environment"),
        accept_bind_to_port=table.flag("accept_bind_to_port", False),
        network=network,
    )
    table.done()
    return image


def _training(table: Table) -> Training:
    config: dict[str, Any] = {}
    if "target" in table or "data_params" in table:
        # `metrics` names regular expressions for a job, and is a list in a config.
        named = table.raw("metrics")
        config = table.take_out(_JOB_KEYS if isinstance(named, dict) else _JOB_KEYS - {"metrics"})
    training = Training(
        config=config,
        channels=table.texts("channels"),
        content_types=table.texts("content_types"),
        hyperparameters=table.texts("hyperparameters"),
        metrics=table.texts("metrics"),
        environment=table.texts("environment"),
        instance_type=table.text("instance_type", Training.instance_type),
        instance_count=table.count("instance_count", 1),
        max_runtime=table.count("max_runtime", Training.max_runtime),
    )
    table.done()
    return training


def _endpoint(table: Table) -> Endpoint:
    endpoint = Endpoint(
        name=table.text("name", ""),
        environment=table.texts("environment"),
        instance_type=table.text("instance_type", Endpoint.instance_type),
        instance_count=table.count("instance_count", 1),
        config=table.table("config").rest(),
        variant=table.table("variant").rest(),
    )
    table.done()
    return endpoint


def _checked(table: Table, root: Path) -> Checked:
    payload, model = table.text("payload", ""), table.text("model", "")
    checked = Checked(
        payload=root / payload if payload else None,
        content_type=table.text("content_type", ""),
        accept=table.text("accept", ""),
        model=root / model if model else None,
        requests=tuple(root / path for path in table.words("requests")),
    )
    for key, path in (
        ("payload", checked.payload),
        ("model", checked.model),
        *(("requests", p) for p in checked.requests),
    ):
        if path is not None and not path.exists():
            raise table.error(key, f"there is no {path}")
    table.done()
    return checked


def plain_name(text: str) -> str:
    """A name that SageMaker takes, made from a folder's: letters, digits and single hyphens."""
    plain = "".join(char if char.isascii() and char.isalnum() else "-" for char in text)
    return "-".join(part for part in plain.split("-") if part)[:50] or "project"
