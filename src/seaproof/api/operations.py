"""Dispatch: an operation of the API is the one function of its boto3 name in the control modules.

There is no table to keep: `CreateModel` is `create_model(plane, request) -> answer`, wherever it is defined.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from functools import cache

from seaproof import control
from seaproof.api import next_steps, spec, validate, wire
from seaproof.control.plane import Plane
from seaproof.control.store import Body
from seaproof.errors import ServiceError

Operation = Callable[[Plane, Body], Body]
RUNTIME = ("InvokeEndpoint", "InvokeEndpointAsync", "InvokeEndpointWithResponseStream")
"""The operations of the runtime, which `api.runtime` answers."""


def run(plane: Plane, operation: str, request: Body) -> Body:
    """Validate the request, run the operation, give its answer as its output shape has it (times as seconds).

    ServiceError for what the API itself would refuse, and for an operation that seaproof does not have.
    """
    function = functions().get(operation)
    if function is None:
        raise _absent(operation)
    try:
        answer = function(plane, validate.check(operation, request))
    except ServiceError as error:
        next_steps.add(error)
        raise
    return wire.shaped(spec.output_shape(operation), answer)


def supported() -> list[str]:
    """The operations that seaproof has, by their names in the API, sorted."""
    return sorted(functions())


@cache
def functions() -> dict[str, Operation]:
    """API name -> function. Two functions of one name are a mistake of ours and end the program."""
    names = spec.operations()
    found: dict[str, Operation] = {}
    for module_info in pkgutil.iter_modules(control.__path__, f"{control.__name__}."):
        module = importlib.import_module(module_info.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name not in names or function.__module__ != module.__name__:
                continue
            if names[name] in found:
                raise TypeError(f"{name} is defined in {module.__name__} and in {found[names[name]].__module__}")
            found[names[name]] = function
    return found


def absent_runtime(path: str) -> ServiceError:
    """The refusal of a runtime operation that is not here, by the path that it is called at."""
    return ServiceError(
        "UnknownOperationException",
        f"seaproof has no operation of the runtime at {path.rpartition('/')[2]}. It has: {', '.join(RUNTIME)}."
        " Send this one to AWS, or use one of these here.",
        status=501,
    )


def absent_path(method: str, path: str) -> ServiceError:
    """The refusal of what a client signs for SageMaker and is neither of it nor of its runtime: features, metrics."""
    return ServiceError(
        "UnknownOperationException",
        f"seaproof has no operation at {method} {path}: it has the APIs sagemaker and sagemaker-runtime, and none"
        " beside them (Feature Store, metrics of experiments). Send this one to AWS, or leave it out here.",
        status=501,
    )


def _absent(operation: str) -> ServiceError:
    if operation in spec.service().operation_names:
        return ServiceError(
            "UnknownOperationException",
            f"seaproof does not have the operation {operation}. It has: {', '.join(supported())}."
            " Send this one to AWS, or leave it out here.",
            status=501,
        )
    return ServiceError(
        "UnknownOperationException",
        f"SageMaker has no operation {operation!r} in the API model of the installed botocore;"
        " check its spelling, or install a newer botocore.",
    )
