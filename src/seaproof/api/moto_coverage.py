"""What moto has of the services that it answers here, told by moto itself."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Collection

from seaproof.api import spec

SERVICES = ("sts", "iam", "ecr", "sns", "sqs")
"""Those that programs for SageMaker call, and that are listed operation by operation; moto has many more."""


def names(service: str) -> Collection[str]:
    """The operations of a service that moto answers; none where it is not installed."""
    try:
        module = importlib.import_module(f"moto.{service}.responses")
        from moto.core.responses import BaseResponse
        from moto.core.utils import camelcase_to_underscores
    except ImportError:
        return ()
    classes = [one for _, one in inspect.getmembers(module, inspect.isclass) if issubclass(one, BaseResponse)]
    # As moto looks for them: the method of an operation's name.
    has = {name for one in classes if one.__module__ == module.__name__ for name in vars(one)}
    return {name for name in spec.service(service).operation_names if camelcase_to_underscores(name) in has}


def others() -> list[str]:
    """The services that moto answers here beside those that are listed and those that are ours; by moto's names."""
    try:
        from moto.backend_index import backend_url_patterns
    except ImportError:
        return []
    listed = {*SERVICES, "sagemaker", "sagemakerruntime", "s3", "s3bucket_path", "s3control", "logs"}
    no_services = {"moto_api", "moto_api._internal", "instance_metadata"}
    return sorted({name for name, _ in backend_url_patterns} - listed - no_services)
