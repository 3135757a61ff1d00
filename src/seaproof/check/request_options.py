"""What flags and project leave open is taken from the requests: how a job gets its data, where an endpoint runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from seaproof.check.options import MIB, Options
from seaproof.check.target import Request

_MOST_HOSTS = 16


def fill_from_requests(options: Options, requests: tuple[Request, ...]) -> Options:
    """The options, with what the requests say where they still have their defaults."""
    for request in requests:
        if request.operation == "CreateTrainingJob":
            options = _filled(options, **dict(_training(request.body)))
        elif request.operation == "CreateModel":
            container = request.body.get("PrimaryContainer") or {}
            options = replace(options, environment={**(container.get("Environment") or {}), **options.environment})
        elif request.operation == "CreateEndpointConfig":
            options = _filled(options, **dict(_endpoint(request.body)))
    return options


def _training(body: Any) -> Iterator[tuple[str, Any]]:
    """Options that CreateTrainingJob speaks of."""
    algorithm, resources = body.get("AlgorithmSpecification") or {}, body.get("ResourceConfig") or {}
    yield "hyperparameters", dict(body.get("HyperParameters") or {})
    metrics = algorithm.get("MetricDefinitions") or []
    yield "metrics", {str(metric.get("Name")): str(metric.get("Regex")) for metric in metrics}
    yield "hosts", min(int(resources.get("InstanceCount") or 1), _MOST_HOSTS)
    yield "instance_type", resources.get("InstanceType")
    channels = body.get("InputDataConfig") or []
    modes = [channel.get("InputMode") or algorithm.get("TrainingInputMode") for channel in channels]
    yield "input_mode", next((mode for mode in ("Pipe", "FastFile") if mode in modes), None)
    sources = {str(c.get("ChannelName")): ((c.get("DataSource") or {}).get("S3DataSource") or {}) for c in channels}
    dealt = (name for name, source in sources.items() if source.get("S3DataDistributionType") == "ShardedByS3Key")
    yield "sharded", tuple(dealt)


def _endpoint(body: Any) -> Iterator[tuple[str, Any]]:
    """Options that CreateEndpointConfig speaks of: those of its first variant."""
    variant: dict[str, Any] = next(iter(body.get("ProductionVariants") or []), {})
    yield "instance_type", variant.get("InstanceType")
    yield "serverless_memory", int((variant.get("ServerlessConfig") or {}).get("MemorySizeInMB") or 0) * MIB
    yield "startup_seconds", variant.get("ContainerStartupHealthCheckTimeoutInSeconds")


def _filled(options: Options, **found: Any) -> Options:
    """The options with those of `found` that say something, and that nobody has set before."""
    plain = Options()
    still_open = [name for name in found if getattr(options, name) == getattr(plain, name)]
    return replace(options, **{name: found[name] for name in still_open if found[name]})
