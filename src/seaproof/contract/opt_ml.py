"""The /opt/ml tree: where everything lies, and the files that tell a job its input, written and read.

    input/config/hyperparameters.json    flat JSON object, every value a string
    input/config/inputdataconfig.json    channel name -> how its data arrives
    input/config/resourceconfig.json     the hosts of the job
    input/data/<channel>/                the data
    model/                               becomes model.tar.gz
    output/data/                         becomes output.tar.gz
    output/failure                       text; its first 1,024 characters become FailureReason
    checkpoints/                         restored before the start, saved while it runs

A processing job has other files:

    config/processingjobconfig.json      the request, with ProcessingJobArn
    config/resourceconfig.json           {"current_host": "algo-1", "hosts": ["algo-1"]}
    processing/...                       its inputs and outputs, where the request says
    output/message                       text; its first 1,024 bytes become ExitMessage

`write_training` is what SageMaker does before a container starts; `read_training` is what a training program
does first. Both are here so that they cannot disagree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seaproof.errors import ContractError

HOMOGENEOUS = "homogeneousCluster"


@dataclass(frozen=True)
class OptMl:
    """The places below one /opt/ml; nothing is read or made here."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "input" / "config"

    @property
    def hyperparameters(self) -> Path:
        return self.config / "hyperparameters.json"

    @property
    def input_data_config(self) -> Path:
        return self.config / "inputdataconfig.json"

    @property
    def resource_config(self) -> Path:
        return self.config / "resourceconfig.json"

    @property
    def data(self) -> Path:
        return self.root / "input" / "data"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def models(self) -> Path:
        """Where a multi-model container finds `<name>/model`."""
        return self.root / "models"

    @property
    def output_data(self) -> Path:
        return self.root / "output" / "data"

    @property
    def failure(self) -> Path:
        return self.root / "output" / "failure"

    @property
    def message(self) -> Path:
        return self.root / "output" / "message"

    @property
    def processing(self) -> Path:
        """Below it lie all inputs and outputs of a processing job."""
        return self.root / "processing"

    @property
    def processing_config(self) -> Path:
        return self.root / "config"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def code(self) -> Path:
        return self.root / "code"

    def channel(self, name: str) -> Path:
        """The folder of one input channel."""
        return self.data / name


@dataclass(frozen=True)
class Channel:
    """One entry of inputdataconfig.json."""

    input_mode: str = "File"
    distribution: str = "FullyReplicated"
    record_wrapper: str = "None"
    content_type: str = ""


@dataclass(frozen=True)
class Cluster:
    """resourceconfig.json: this host, all hosts (sorted as text, so algo-10 comes before algo-2), their type."""

    current_host: str = "algo-1"
    hosts: tuple[str, ...] = ("algo-1",)
    instance_type: str = "ml.m5.large"
    group: str = HOMOGENEOUS
    network_interface: str = "eth0"


@dataclass(frozen=True)
class TrainingInput:
    """All that a training container is told through files."""

    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    channels: Mapping[str, Channel] = field(default_factory=dict)
    cluster: Cluster = Cluster()


def host_names(count: int) -> tuple[str, ...]:
    """The names of a job's hosts, `algo-1` to `algo-<count>`, sorted as the platform sorts them: as text."""
    return tuple(sorted(f"algo-{number}" for number in range(1, count + 1)))


def write_training(root: Path, given: TrainingInput) -> None:
    """Make the tree of a training job below `root` and write its three configuration files."""
    tree = OptMl(root)
    for folder in (tree.config, tree.data, tree.model, tree.output_data, tree.checkpoints):
        folder.mkdir(parents=True, exist_ok=True)
    for name in given.channels:
        tree.channel(name).mkdir(exist_ok=True)
    _write(tree.hyperparameters, {name: str(value) for name, value in given.hyperparameters.items()})
    _write(tree.input_data_config, {name: _channel_json(c) for name, c in given.channels.items()})
    _write(tree.resource_config, _cluster_json(given.cluster))


def write_processing(root: Path, request: Mapping[str, Any], current_host: str, hosts: Sequence[str]) -> None:
    """Make the tree of a processing job below `root` and write its two configuration files.

    `request` is CreateProcessingJob's, with ProcessingJobArn. Source: DG build-your-own-processing-container.
    """
    tree = OptMl(root)
    for folder in (tree.processing_config, tree.processing, tree.message.parent):
        folder.mkdir(parents=True, exist_ok=True)
    _write(tree.processing_config / "processingjobconfig.json", request)
    resources = {"current_host": current_host, "hosts": sorted(hosts)}
    _write(tree.processing_config / "resourceconfig.json", resources)


def read_training(root: Path) -> TrainingInput:
    """Read the three files; each may be absent, as in a hand-made test folder. ContractError for a broken one."""
    tree = OptMl(root)
    hyperparameters = {}
    for name, value in read_json(tree.hyperparameters).items():
        hyperparameters[name] = value if isinstance(value, str) else json.dumps(value)
    channels = {}
    for name, given in read_json(tree.input_data_config).items():
        settings = given if isinstance(given, dict) else {}
        channels[name] = Channel(
            input_mode=settings.get("TrainingInputMode", "File"),
            distribution=settings.get("S3DistributionType", "FullyReplicated"),
            record_wrapper=settings.get("RecordWrapperType", "None"),
            content_type=settings.get("ContentType", ""),
        )
    if not channels and tree.data.is_dir():
        channels = {folder.name: Channel() for folder in sorted(tree.data.iterdir()) if folder.is_dir()}
    return TrainingInput(hyperparameters, channels, _cluster(read_json(tree.resource_config), tree.resource_config))


def decode_hyperparameter(text: str) -> Any:
    """The value meant, in either dialect: JSON where the text is JSON (`0.1`, `true`, `"abc"`), else the text.

    Plain boto3 sends `abc`; the SageMaker SDK with a source directory sends `"abc"`, JSON-encoded.
    """
    try:
        return json.loads(text)
    except ValueError:
        return text


def _channel_json(channel: Channel) -> dict[str, str]:
    # FastFile is shown to the container as File; ContentType is left out where the request gave none.
    mode = "Pipe" if channel.input_mode == "Pipe" else "File"
    entry = {
        "TrainingInputMode": mode,
        "S3DistributionType": channel.distribution,
        "RecordWrapperType": channel.record_wrapper,
    }
    if channel.content_type:
        entry["ContentType"] = channel.content_type
    return entry


def _cluster_json(cluster: Cluster) -> dict[str, Any]:
    hosts = sorted(cluster.hosts)
    group = {
        "instance_group_name": cluster.group,
        "instance_type": cluster.instance_type,
        "hosts": hosts,
    }
    return {
        "current_host": cluster.current_host,
        "current_instance_type": cluster.instance_type,
        "current_group_name": cluster.group,
        "hosts": hosts,
        "instance_groups": [group],
        "network_interface_name": cluster.network_interface,
    }


def _cluster(given: Mapping[str, Any], path: Path) -> Cluster:
    if not given:
        return Cluster()
    try:
        return Cluster(
            current_host=given["current_host"],
            hosts=tuple(given["hosts"]),
            instance_type=given.get("current_instance_type", Cluster.instance_type),
            group=given.get("current_group_name", HOMOGENEOUS),
            network_interface=given.get("network_interface_name", Cluster.network_interface),
        )
    except (KeyError, TypeError) as error:
        raise ContractError(
            f"resourceconfig.json lacks {error}",
            where=str(path),
            next_step="It needs at least current_host and hosts.",
        ) from error


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """One configuration file, a JSON object; an absent or empty one is `{}`. ContractError where it is broken."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{path.name} cannot be read: {error}", where=str(path)) from error
    try:
        value = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise ContractError(
            f"{path.name} is not JSON: {error}", where=str(path), next_step="It must be one JSON object."
        ) from error
    if not isinstance(value, dict):
        raise ContractError(
            f"{path.name} holds a {type(value).__name__}, not an object",
            where=str(path),
            next_step='It must be one JSON object, like {"name": "value"}.',
        )
    return value
