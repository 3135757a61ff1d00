"""The requests that run a project, in SageMaker's own words: the same for the local server and for AWS.

What differs between the two, and nothing else, is a `Place`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from seaproof.project import Project
from seaproof.settings import Settings

BUCKET = "seaproof"


@dataclass(frozen=True)
class Place:
    """Where the requests of a project go to."""

    role: str
    """ARN of the role that SageMaker takes on."""
    image: str
    """As the platform pulls it."""
    bucket: str
    prefix: str
    """Of every key, without slashes at its ends."""

    @property
    def root(self) -> str:
        """The s3:// address below which everything of the project lies."""
        return f"s3://{self.bucket}/{self.prefix}"


def this_machine(project: Project, settings: Settings) -> Place:
    """The local server, which checks the form of a role, not that there is one."""
    return Place(f"arn:aws:iam::{settings.account}:role/seaproof", project.image, BUCKET, project.name)


def new_name(project: Project) -> str:
    """A name that no job has yet: the project's, and the time."""
    now = time.time()
    return f"{project.name[:38]}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}-{int(now * 1e6) % 1_000_000:06d}"


def training_job(
    project: Project,
    place: Place,
    name: str,
    hyperparameters: dict[str, str],
    channels: dict[str, str],
    instance_count: int | None = None,
) -> dict[str, Any]:
    """CreateTrainingJob for this project; what is given here comes before what the file says."""
    training = project.training
    request: dict[str, Any] = {
        "TrainingJobName": name,
        "RoleArn": place.role,
        "AlgorithmSpecification": {"TrainingImage": place.image, "TrainingInputMode": "File"},
        "HyperParameters": {**training.hyperparameters, **hyperparameters},
        "OutputDataConfig": {"S3OutputPath": f"{place.root}/jobs"},
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


def model(project: Project, place: Place, name: str, data_url: str | None) -> dict[str, Any]:
    """CreateModel: the project's image with this model archive."""
    container: dict[str, Any] = {"Image": place.image}
    if data_url:
        container["ModelDataUrl"] = data_url
    if project.endpoint.environment:
        container["Environment"] = dict(project.endpoint.environment)
    return {"ModelName": name, "ExecutionRoleArn": place.role, "PrimaryContainer": container}


def endpoint_config(project: Project, name: str, model_name: str) -> dict[str, Any]:
    """CreateEndpointConfig with one production variant, and what else the project's file asks for."""
    endpoint = project.endpoint
    variant = {"VariantName": "AllTraffic", "ModelName": model_name, "InitialVariantWeight": 1.0}
    if "ServerlessConfig" not in endpoint.variant:
        variant |= {"InstanceType": endpoint.instance_type, "InitialInstanceCount": endpoint.instance_count}
    return {"EndpointConfigName": name, "ProductionVariants": [{**variant, **endpoint.variant}], **endpoint.config}


def _channel(name: str, uri: str, project: Project) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    channel: dict[str, Any] = {"ChannelName": name, "DataSource": {"S3DataSource": source}}
    if name in project.training.content_types:
        channel["ContentType"] = project.training.content_types[name]
    return channel
