"""[ship] and [stage.NAME] of seaproof.toml -> Shipment: what goes to AWS, where, and how. Read once, frozen.

A stage is [ship] with what [stage.NAME] says laid over it, table by table. Its endpoint, and the prefix of its data,
end in its name unless it names others itself, so that no stage touches what another has. Keys are the short words
below; what they do not cover is written in SageMaker's own words in a `request` table, which is laid over the request
that it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seaproof.errors import ProjectError
from seaproof.project import Project
from seaproof.ship import rules
from seaproof.toml_table import Table

TARGETS = ("aws", "local")


@dataclass(frozen=True)
class ImageShape:
    """[ship.image]: how the image is built and where it is pushed to."""

    uri: str = ""
    """An image that is there already: nothing is built or pushed."""
    dockerfile: str = "Dockerfile"
    context: str = "."
    platform: str = "linux/amd64"
    arguments: Mapping[str, str] = field(default_factory=dict)
    """--build-arg of the build."""
    network: str = ""
    """--network of the build."""
    repository: str = ""
    """Of ECR; the project's name where empty."""
    registry: str = ""
    """HOST[:PORT] of another registry than the account's ECR."""
    scan_on_push: bool = True
    immutable_tags: bool = True
    keep: int = 0
    """A lifecycle rule keeps that many images; 0, where nothing is said: no rule."""


@dataclass(frozen=True)
class TrainingShape:
    """[ship.training]: what a training job has on AWS beside [training]."""

    instance_type: str = ""
    instance_count: int = 0
    volume_size: int = 30
    """GB."""
    max_runtime: int = 0
    max_wait: int = 0
    """Seconds; with spot: how long it may wait for capacity and run, together."""
    spot: bool = False
    checkpoints: bool = False
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    kms_key: str = ""
    network_isolation: bool = False
    retries: int = 3
    """How often a job is sent again when there is no capacity."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """Laid over CreateTrainingJob, in its own words."""


@dataclass(frozen=True)
class TransformShape:
    """[ship.transform]: how a batch transform job runs."""

    instance_type: str = "ml.m5.large"
    instance_count: int = 1
    content_type: str = "text/csv"
    split: str = "Line"
    assemble: str = "Line"
    strategy: str = "MultiRecord"
    input_filter: str = ""
    output_filter: str = ""
    join: str = ""
    max_payload: int = 6
    """MB."""
    concurrency: int = 1
    request: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelShape:
    """[ship.model]: which model is served."""

    source: str = "train"
    """`train`: what this plan's training job makes; else a job's name, an s3:// address, a file or folder; `none`."""
    mode: str = "single"
    """single, multi-model (source is a prefix), pipeline (containers in series), direct (containers asked by name)."""
    containers: tuple[Mapping[str, Any], ...] = ()
    """Each as in CreateModel; one without Image has the project's, one without ModelDataUrl the model."""
    request: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EndpointShape:
    """[ship.endpoint]: what serves it."""

    name: str = ""
    instance_type: str = ""
    instance_count: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    serverless: Mapping[str, Any] = field(default_factory=dict)
    """memory (MB), concurrency, provisioned."""
    asynchronous: Mapping[str, Any] = field(default_factory=dict)
    """output (s3://), concurrency, success_topic, error_topic."""
    capture: Mapping[str, Any] = field(default_factory=dict)
    """percentage, destination (s3://)."""
    autoscaling: Mapping[str, Any] = field(default_factory=dict)
    """min, max, invocations (each instance, each minute), cooldown_in, cooldown_out (seconds)."""
    deployment: Mapping[str, Any] = field(default_factory=dict)
    """strategy (all-at-once, canary, linear), percent, wait (seconds), alarms, max_seconds."""
    variants: tuple[Mapping[str, Any], ...] = ()
    """Each as in CreateEndpointConfig; one without ModelName has this plan's model."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """Laid over CreateEndpointConfig, in its own words."""


@dataclass(frozen=True)
class Shipment:
    """One stage of a project, with nothing left to look up in the file."""

    stage: str
    target: str
    profile: str
    region: str
    bucket: str
    prefix: str
    role: str
    """An ARN, or the name of the role that the plan keeps."""
    tags: Mapping[str, str]
    image: ImageShape
    training: TrainingShape
    transform: TransformShape
    model: ModelShape
    endpoint: EndpointShape

    @property
    def label(self) -> str:
        """How the stage is called in names and records."""
        return self.stage or "default"


def read(project: Project, stage: str = "", over: Mapping[str, Any] | None = None, **given: str | None) -> Shipment:
    """The shipment of one stage; `given` are options that come before the file (target, profile, region).

    `over` is laid over the stage as a stage is laid over [ship]: options that say more than that.
    ProjectError names a stage that is not there, an unknown key, a value of the wrong kind.
    """
    file = str(project.file or project.root)
    if stage and stage not in project.stages:
        known = ", ".join(sorted(project.stages)) or "none"
        raise ProjectError(
            f"there is no stage {stage!r}", where=f"{file}, [stage]", next_step=f"Stages of this project: {known}."
        )
    for other, table in project.stages.items():  # a slip in a stage is found by whoever ships another one
        if not isinstance(table, dict):
            raise ProjectError("a table is expected here", where=f"{file}, stage.{other}")
        _shipment(Table(table, file, f"stage.{other}"), project, other, alone=True)
    own = _of_its_own(project, stage, project.stages[stage]) if stage else {}
    values = laid_over(laid_over(project.ship, own), over or {})
    values.update({name: value for name, value in given.items() if value})
    shipment = _shipment(Table(values, file, f"stage.{stage}" if stage else "ship"), project, stage)
    rules.check(shipment, project)
    return shipment


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested tables as one: what is above wins, table by table; lists are replaced whole."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        result[key] = laid_over(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return result


def _of_its_own(project: Project, stage: str, over: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage says, with a prefix and an endpoint of its own where it names none."""
    endpoint, common = over.get("endpoint", {}), project.ship.get("endpoint", {})
    prefix = str(project.ship.get("prefix") or project.name).strip("/")
    result = {"prefix": f"{prefix}-{stage}", **over}
    if isinstance(endpoint, Mapping) and isinstance(common, Mapping):
        name = common.get("name") or project.endpoint.name or project.name
        result["endpoint"] = {"name": f"{name}-{stage}", **endpoint}
    return result


def _shipment(table: Table, project: Project, stage: str, *, alone: bool = False) -> Shipment:
    """Of one table; `alone` takes it without what it is laid over, so that what goes with what cannot be told."""
    shipment = Shipment(
        stage=stage,
        target=table.choice("target", "aws", TARGETS),
        profile=table.text("profile", ""),
        region=table.text("region", ""),
        bucket=table.text("bucket", ""),
        prefix=table.text("prefix", project.name).strip("/"),
        role=table.text("role", "-".join(filter(None, ("seaproof", project.name, stage)))),
        tags=table.texts("tags"),
        image=_image(table.table("image")),
        training=_training(table.table("training")),
        transform=_transform(table.table("transform")),
        model=_model(table.table("model"), alone),
        endpoint=_endpoint(table.table("endpoint")),
    )
    table.done()
    return shipment


def _if_given(table: Table, key: str) -> int:
    """A whole number from 1 on; 0 where the file says nothing."""
    return table.count(key, 0, least=1 if key in table else 0)


def _image(table: Table) -> ImageShape:
    shape = ImageShape(
        uri=table.text("uri", ""),
        dockerfile=table.text("dockerfile", ImageShape.dockerfile),
        context=table.text("context", ImageShape.context),
        platform=table.text("platform", ImageShape.platform),
        arguments=table.texts("arguments"),
        network=table.text("network", ""),
        repository=table.text("repository", ""),
        registry=table.text("registry", ""),
        scan_on_push=table.flag("scan_on_push", True),
        immutable_tags=table.flag("immutable_tags", True),
        keep=_if_given(table, "keep"),
    )
    table.done()
    return shape


def _training(table: Table) -> TrainingShape:
    shape = TrainingShape(
        instance_type=table.text("instance_type", ""),
        instance_count=_if_given(table, "instance_count"),
        volume_size=table.count("volume_size", TrainingShape.volume_size),
        max_runtime=_if_given(table, "max_runtime"),
        max_wait=_if_given(table, "max_wait"),
        spot=table.flag("spot", False),
        checkpoints=table.flag("checkpoints", False),
        subnets=table.words("subnets"),
        security_groups=table.words("security_groups"),
        kms_key=table.text("kms_key", ""),
        network_isolation=table.flag("network_isolation", False),
        retries=table.count("retries", TrainingShape.retries, least=0),
        request=table.table("request").rest(),
    )
    table.done()
    return shape


def _transform(table: Table) -> TransformShape:
    shape = TransformShape(
        instance_type=table.text("instance_type", TransformShape.instance_type),
        instance_count=table.count("instance_count", 1),
        content_type=table.text("content_type", TransformShape.content_type),
        split=table.choice("split", TransformShape.split, ("None", "Line", "RecordIO", "TFRecord")),
        assemble=table.choice("assemble", TransformShape.assemble, ("None", "Line")),
        strategy=table.choice("strategy", TransformShape.strategy, ("MultiRecord", "SingleRecord")),
        input_filter=table.text("input_filter", ""),
        output_filter=table.text("output_filter", ""),
        join=table.choice("join", "", ("", "None", "Input")),
        max_payload=table.count("max_payload", TransformShape.max_payload, least=0),
        concurrency=table.count("concurrency", 1),
        request=table.table("request").rest(),
    )
    table.done()
    return shape


def _model(table: Table, alone: bool) -> ModelShape:
    shape = ModelShape(
        source=table.text("source", ModelShape.source),
        mode=table.choice("mode", ModelShape.mode, ("single", "multi-model", "pipeline", "direct")),
        containers=table.tables("containers"),
        request=table.table("request").rest(),
    )
    if shape.mode in ("pipeline", "direct") and len(shape.containers) < 2 and not alone:
        raise table.error("containers", f"a model of mode {shape.mode} has 2 to 15 containers")
    table.done()
    return shape


def _endpoint(table: Table) -> EndpointShape:
    def part(key: str, known: tuple[str, ...]) -> dict[str, Any]:
        inner = table.table(key)
        unknown = [name for name in inner.names() if name not in known]
        if unknown:
            raise inner.error(unknown[0], f"nothing is known by this name; what can stand here: {', '.join(known)}")
        if key in table and not inner.names():  # it would silently be as if it were not there
            raise table.error(key, f"it is empty; what can stand here: {', '.join(known)}")
        return inner.rest()

    shape = EndpointShape(
        name=table.text("name", ""),
        instance_type=table.text("instance_type", ""),
        instance_count=_if_given(table, "instance_count"),
        environment=table.texts("environment"),
        serverless=part("serverless", ("memory", "concurrency", "provisioned")),
        asynchronous=part("async", ("output", "concurrency", "success_topic", "error_topic")),
        capture=part("capture", ("percentage", "destination")),
        autoscaling=part("autoscaling", ("min", "max", "invocations", "cooldown_in", "cooldown_out")),
        deployment=part("deployment", ("strategy", "percent", "wait", "alarms", "max_seconds")),
        variants=table.tables("variants"),
        request=table.table("request").rest(),
    )
    table.done()
    return shape
