"""A neighbour that speaks AWS JSON 1.1: its operations are functions of their boto3 names in one module."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from seaproof.api import spec, validate, wire
from seaproof.control.plane import Plane
from seaproof.errors import ServiceError
from seaproof.http.message import Request, Response

Body = dict[str, Any]


class JsonService:
    """One service over one plane; `answer` is called in a thread."""

    def __init__(self, name: str, module: ModuleType, plane: Plane) -> None:
        self.name = name
        self._plane = plane
        self._functions = functions(name, module)

    def answer(self, request: Request) -> Response:
        """Answer one request; its operation stands in X-Amz-Target."""
        operation = request.header(b"x-amz-target").rpartition(".")[2]
        try:
            function = self._functions.get(operation)
            if function is None:
                has = ", ".join(sorted(self._functions))
                raise ServiceError(
                    "UnknownOperationException",
                    f"seaproof does not have the operation {operation} of {self.name}. It has: {has}.",
                    status=501,
                )
            given = validate.check(operation, wire.read_json(request), self.name)
            return wire.json_answer(wire.shaped(spec.output_shape(operation, self.name), function(self._plane, given)))
        except ServiceError as error:
            return wire.json_error(error)


def functions(name: str, module: ModuleType) -> dict[str, Callable[[Plane, Body], Body]]:
    """The operations of a service that a module has: name in the API -> function."""
    names = spec.operations(name)
    return {
        names[found]: function
        for found, function in inspect.getmembers(module, inspect.isfunction)
        if found in names and function.__module__ == module.__name__
    }
