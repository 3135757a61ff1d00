"""What flags leave open is taken from the project: its payload, data, hyperparameters, metrics, model."""

from __future__ import annotations

import mimetypes
from dataclasses import replace
from pathlib import Path

from seaproof.check.lab import machine_memory
from seaproof.check.options import MIB, Options, Payload, instance_memory
from seaproof.check.request_options import fill_from_requests
from seaproof.check.target import Target
from seaproof.errors import ProjectError
from seaproof.project import Endpoint

_SAMPLES = ("payload.json", "payload.csv", "data/sample.csv", "data/sample.json", "sample.json", "sample.csv")
_SMALL = 1024 * MIB


def complete(options: Options, target: Target) -> Options:
    """The options with everything filled in that the target's project knows, and with this machine's bounds."""
    project = target.project
    if project is not None:
        given, training = project.check, project.training
        payload = options.payload
        if payload is None and given.payload is not None:
            payload = read_payload(given.payload, given.content_type, given.accept)
        if payload is None:
            samples = [project.root / name for name in _SAMPLES if (project.root / name).is_file()]
            payload = read_payload(samples[0], given.content_type, given.accept) if samples else None
        instance_type = options.instance_type
        if instance_type == Options.instance_type and project.endpoint.instance_type != Endpoint.instance_type:
            instance_type = project.endpoint.instance_type
        channels = options.channels or {
            name: str(project.root / source) for name, source in training.channels.items() if "://" not in source
        }
        options = replace(
            options,
            payload=payload,
            instance_type=instance_type,
            channels=channels,
            hyperparameters=options.hyperparameters or training.hyperparameters,
            metrics=options.metrics or training.metrics,
            model=options.model or given.model,
            hosts=max(options.hosts, training.instance_count),
            environment={**project.endpoint.environment, **options.environment},
        )
    options = fill_from_requests(options, target.requests)
    if options.model is not None and not options.model.exists():
        raise ProjectError("there is no such model", where=str(options.model), next_step="Name an archive or a folder.")
    return replace(options, memory=bounded_memory(options))


def bounded_memory(options: Options) -> int:
    """Bytes: what the instance type has, but no more than half of this machine; what the caller set, if it was set."""
    if options.memory != Options.memory:
        return options.memory
    whole = options.serverless_memory or instance_memory(options.instance_type) or Options.memory
    return max(_SMALL, min(whole, machine_memory() // 2))


def read_payload(path: Path, content_type: str = "", accept: str = "") -> Payload:
    """A request body from a file; the type is guessed from its name where none is given."""
    guessed = {".jsonl": "application/jsonlines", ".npy": "application/x-npy", ".csv": "text/csv"}.get(path.suffix)
    kind = content_type or guessed or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    try:
        return Payload(path.read_bytes(), kind, accept, str(path))
    except OSError as error:
        raise ProjectError(f"the payload cannot be read: {error.strerror}", where=str(path)) from error
