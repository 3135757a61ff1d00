"""The headers of InvokeEndpoint, held to the API model; on the path of every request, so that what was seen is kept."""

from __future__ import annotations

from functools import cache, lru_cache

from seaproof.api import spec
from seaproof.api.spec import Shape
from seaproof.api.validate import violations
from seaproof.errors import ServiceError
from seaproof.http.message import Headers

_DECIDED_LATER = ("TargetModel",)
"""Checked where the model is known to be one among many."""


def check(headers: Headers) -> None:
    """ServiceError (ValidationError) for header values that the service refuses; names in lower case."""
    limited = _limited()
    found = [problem for name, value in headers if name in limited for problem in _problems(name, value)]
    if found:
        raise ServiceError(
            "ValidationError",
            f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected: {'; '.join(found)}",
        )


@lru_cache(1024)
def _problems(name: bytes, value: bytes) -> tuple[str, ...]:
    member, shape = _limited()[name]
    return tuple(violations(shape, value.decode("latin-1"), f"{member[0].lower()}{member[1:]}"))


@cache
def _limited() -> dict[bytes, tuple[str, Shape]]:
    shape = spec.input_shape("InvokeEndpoint", spec.RUNTIME)
    assert shape is not None
    return {
        member.serialization["name"].lower().encode(): (name, member)
        for name, member in shape.members.items()
        if member.serialization.get("location") == "header" and name not in _DECIDED_LATER
    }
