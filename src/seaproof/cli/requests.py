"""The requests that the commands send: a project's file put into SageMaker's own words."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from seaproof.errors import ProjectError
from seaproof.project import Project
from seaproof.settings import Settings
from seaproof.storage.local import LocalStorage
from seaproof.storage.storage import parse_address

BUCKET = "seaproof"


def new_name(project: Project) -> str:
    """A name that no job has yet: the project's, and the time."""
    now = time.time()
    return f"{project.name[:38]}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}-{int(now * 1e6) % 1_000_000:06d}"


def check_project(project: Project) -> None:
    """ProjectError where this folder is no project: there would be no image to run."""
    if project.file is None:
        raise ProjectError(
            "there is no seaproof.toml",
            where=str(project.root),
            next_step="`seaproof init` writes a project; --project names another folder.",
        )


def check_name(name: str, where: str) -> str:
    """The name, where SageMaker takes it; ProjectError otherwise, before any work is done for it."""
    if re.fullmatch("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name):
        return name
    raise ProjectError(
        f"{name!r} is no name that SageMaker takes",
        where=where,
        next_step="Use letters, digits and hyphens, at most 63, a letter or digit first and last.",
    )


def training_job(
    project: Project,
    settings: Settings,
    name: str,
    hyperparameters: dict[str, str],
    channels: dict[str, str],
    instance_count: int | None = None,
) -> dict[str, Any]:
    """CreateTrainingJob for this project; what is given here comes before what the file says."""
    training = project.training
    request: dict[str, Any] = {
        "TrainingJobName": name,
        "RoleArn": _role(settings),
        "AlgorithmSpecification": {"TrainingImage": project.image, "TrainingInputMode": "File"},
        "HyperParameters": {**training.hyperparameters, **hyperparameters},
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/{project.name}/jobs"},
        "ResourceConfig": {
            "InstanceType": training.instance_type,
            "InstanceCount": instance_count or training.instance_count,
            "VolumeSizeInGB": 30,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": training.max_runtime},
    }
    if training.metrics:
        request["AlgorithmSpecification"]["MetricDefinitions"] = [
            {"Name": metric, "Regex": regex} for metric, regex in training.metrics.items()
        ]
    if training.environment:
        request["Environment"] = dict(training.environment)
    inputs = [_channel(channel, uri, project) for channel, uri in channels.items()]
    if inputs:
        request["InputDataConfig"] = inputs
    return request


def put_channels(project: Project, state: Path, name: str, given: dict[str, str]) -> dict[str, str]:
    """Bring each channel's data to where a training job can read it; the s3:// prefix of each.

    A local file or folder is copied into the project's own storage; an s3:// address is taken as it is.
    """
    storage = LocalStorage(state / "s3")
    uris = {}
    for channel, source in {**project.training.channels, **given}.items():
        if source.startswith("s3://"):
            uris[channel] = source
            continue
        path = project.root / source
        if not path.exists():
            raise ProjectError(
                f"there is no file or folder {source!r} for channel {channel!r}",
                where=str(project.file or project.root),
                next_step="Paths count from the project's folder; s3:// addresses are taken as they are.",
            )
        prefix = f"s3://{BUCKET}/{project.name}/input/{name}/{channel}/"
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            key = file.relative_to(path).as_posix() if path.is_dir() else file.name
            storage.upload(file, parse_address(prefix + key))
        uris[channel] = prefix
    return uris


def put_model(project: Project, state: Path, archive: Path) -> str:
    """Copy a model.tar.gz into the project's storage; its s3:// address."""
    uri = f"s3://{BUCKET}/{project.name}/models/{new_name(project)}/model.tar.gz"
    LocalStorage(state / "s3").upload(archive, parse_address(uri))
    return uri


def model(project: Project, settings: Settings, name: str, data_url: str | None) -> dict[str, Any]:
    """CreateModel: the project's image with this model archive."""
    container: dict[str, Any] = {"Image": project.image}
    if data_url:
        container["ModelDataUrl"] = data_url
    if project.endpoint.environment:
        container["Environment"] = dict(project.endpoint.environment)
    return {"ModelName": name, "ExecutionRoleArn": _role(settings), "PrimaryContainer": container}


def endpoint_config(project: Project, name: str, model_name: str) -> dict[str, Any]:
    """CreateEndpointConfig with one production variant."""
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": model_name,
        "InstanceType": project.endpoint.instance_type,
        "InitialInstanceCount": project.endpoint.instance_count,
        "InitialVariantWeight": 1.0,
    }
    return {"EndpointConfigName": name, "ProductionVariants": [variant]}


def parse_pairs(given: tuple[str, ...], option: str) -> dict[str, str]:
    """`("a=1", "b=2")` as a dictionary; ProjectError names the option (`--flag FORM`) where a text is no pair."""
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            flag, _, form = option.partition(" ")
            raise ProjectError(f"{text!r} is no {form}", where=flag, next_step=f"Write it as {flag} {form}.")
        pairs[name] = value
    return pairs


def _channel(name: str, uri: str, project: Project) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    channel: dict[str, Any] = {"ChannelName": name, "DataSource": {"S3DataSource": source}}
    if name in project.training.content_types:
        channel["ContentType"] = project.training.content_types[name]
    return channel


def _role(settings: Settings) -> str:
    """The local server checks the form of a role, not that there is one."""
    return f"arn:aws:iam::{settings.account}:role/seaproof"
