"""A request held to its input shape: everything that the API model says, in the words of the service.

SDKs check little before they send (no patterns, enums or maxima), so what passes here and what does not is what a
user would otherwise learn from AWS. All violations are collected, as the service does.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from seaproof.api import patterns, spec
from seaproof.api.spec import Shape
from seaproof.errors import ServiceError

Body = dict[str, Any]

_PATTERN_LIMIT = 4096
_SHOWN = 512
_BOUNDS = {"integer": 2**31, "long": 2**63}


def check(operation: str, request: Body, service: str = spec.CONTROL) -> Body:
    """The request without members that are null, which counts as absent.

    ServiceError (ValidationException) names every violation: `2 validation errors detected: ...; ...`.
    """
    shape = spec.input_shape(operation, service)
    request = _without_nulls(request)
    found = list(violations(shape, request)) if shape else [_unknown(name, "", []) for name in request]
    if found:
        raise ServiceError(
            "ValidationException",
            f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected: {'; '.join(found)}",
        )
    return request


def violations(shape: Shape, value: Any, path: str = "") -> Iterator[str]:
    """What is wrong with a value, each as the service words it; `path` is where it stands in the request."""
    kind = shape.type_name
    expected = _type_problem(kind, value)
    if expected:
        yield _failed(shape, value, path, f"Member must be {expected}")
    elif kind == "structure":
        yield from _structure(shape, value, path)
    else:
        for problem in _constraints(shape, value):
            yield _failed(shape, value, path, problem)
        if kind == "list":
            yield from _list(shape, value, path)
        elif kind == "map":
            yield from _map(shape, value, path)


def fitting(shape: Shape, value: Any) -> Any:
    """A value of the shape's type without what in it has another type; members that the shape does not know stay."""
    if shape.type_name == "list":
        return [fitting(shape.member, member) for member in value if not _type_problem(shape.member.type_name, member)]
    if shape.type_name not in ("structure", "map"):
        return value
    known = shape.members if shape.type_name == "structure" else dict.fromkeys(value, shape.value)
    return {
        name: fitting(known[name], member) if name in known else member
        for name, member in value.items()
        if name not in known or not _type_problem(known[name].type_name, member)
    }


def _structure(shape: Shape, value: Body, path: str) -> Iterator[str]:
    for name in shape.required_members:
        if name not in value:
            yield f"Value null at '{_join(path, name)}' failed to satisfy constraint: Member must not be null"
    if getattr(shape, "is_tagged_union", False) and len(value) != 1:
        names = ", ".join(shape.members)
        yield _failed(shape, value, path, f"Member must have exactly one of these members: [{names}]")
    for name, member in value.items():
        if name in shape.members:
            yield from violations(shape.members[name], member, _join(path, name))
        else:
            yield _unknown(name, path, list(shape.members))


def _list(shape: Shape, value: list[Any], path: str) -> Iterator[str]:
    if shape.member.type_name in ("structure", "list", "map"):
        for number, member in enumerate(value, 1):
            yield from violations(shape.member, member, f"{path}.{number}.member")
    elif any(_simple_problems(shape.member, member) for member in value):
        yield _failed(shape, value, path, f"Member must satisfy constraint: [{_all_of(shape.member, value)}]")


def _map(shape: Shape, value: Body, path: str) -> Iterator[str]:
    keys, values = list(value), list(value.values())
    if any(_simple_problems(shape.key, key) for key in keys):
        yield _failed(shape, value, path, f"Map keys must satisfy constraint: [{_all_of(shape.key, keys)}]")
    if shape.value.type_name in ("structure", "list", "map"):
        for key, member in value.items():
            yield from violations(shape.value, member, f"{path}.{_show(key)}.member")
    elif any(_simple_problems(shape.value, member) for member in values):
        yield _failed(shape, value, path, f"Map value must satisfy constraint: [{_all_of(shape.value, values)}]")


def _simple_problems(shape: Shape, value: Any) -> list[str]:
    expected = _type_problem(shape.type_name, value)
    return [f"Member must be {expected}"] if expected else list(_constraints(shape, value))


def _all_of(shape: Shape, values: list[Any]) -> str:
    """What is asked of each member of a list or map of simple values: all constraints, as the service lists them."""
    wrong_types = {_type_problem(shape.type_name, value) for value in values} - {""}
    if wrong_types:
        return f"Member must be {sorted(wrong_types)[0]}"
    return ", ".join(_every_constraint(shape))


def _type_problem(kind: str, value: Any) -> str:
    """What the value must be and is not, or ""."""
    if kind == "structure" or kind == "map":
        return "" if isinstance(value, dict) else "a structure" if kind == "structure" else "a map"
    if kind == "list":
        return "" if isinstance(value, list) else "a list"
    if kind == "boolean":
        return "" if isinstance(value, bool) else "a boolean"
    if kind == "string":
        return _text_problem(value)
    if kind == "blob":
        return "" if isinstance(value, bytes) or (isinstance(value, str) and _is_base64(value)) else "base64"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "a time in seconds since the epoch" if kind == "timestamp" else "a number"
    if kind in _BOUNDS:
        bound = _BOUNDS[kind]
        return "" if isinstance(value, int) and -bound <= value < bound else f"a whole number ({kind})"
    return "" if _is_finite(value) else "a finite number"


def _text_problem(value: Any) -> str:
    if not isinstance(value, str):
        return "a string"
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return "valid Unicode"
    return ""


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond any float
        return False


def _constraints(shape: Shape, value: Any) -> Iterator[str]:
    """The constraints of one value's own shape that it does not satisfy."""
    rules = shape.metadata
    if shape.type_name in ("string", "blob", "list", "map"):
        size, noun = len(value), "length"
    elif shape.type_name in ("integer", "long", "float", "double"):
        size, noun = value, "value"
    else:
        return
    if rules.get("enum") and value not in rules["enum"]:
        yield _enum(rules["enum"])
    if "max" in rules and size > rules["max"]:
        yield f"Member must have {noun} less than or equal to {rules['max']}"
    if "min" in rules and size < rules["min"]:
        yield f"Member must have {noun} greater than or equal to {rules['min']}"
    # A text far beyond its maximum has been refused for that; matching it could take long.
    short = size <= max(_PATTERN_LIMIT, rules.get("max", 0))
    if "pattern" in rules and short and not patterns.matches(rules["pattern"], value):
        yield _pattern(rules["pattern"])


def _every_constraint(shape: Shape) -> Iterator[str]:
    rules = shape.metadata
    noun = "length" if shape.type_name in ("string", "blob") else "value"
    if rules.get("enum"):
        yield _enum(rules["enum"])
    if "max" in rules:
        yield f"Member must have {noun} less than or equal to {rules['max']}"
    if "min" in rules:
        yield f"Member must have {noun} greater than or equal to {rules['min']}"
    if "pattern" in rules:
        yield _pattern(rules["pattern"])


def _enum(values: list[str]) -> str:
    return f"Member must satisfy enum value set: [{', '.join(values)}]"


def _pattern(pattern: str) -> str:
    return f"Member must satisfy regular expression pattern: {pattern}"


def _failed(shape: Shape, value: Any, path: str, problem: str) -> str:
    shown = "" if shape.metadata.get("sensitive") else f" '{_show(value)}'"
    return f"Value{shown} at '{path}' failed to satisfy constraint: {problem}"


def _unknown(name: str, path: str, known: list[str]) -> str:
    there = f"it can have: [{', '.join(known)}]" if known else "nothing can stand here"
    return f"Value at '{_join(path, name)}' failed to satisfy constraint: Member is not known to the API; {there}"


def _join(path: str, name: str) -> str:
    """The service writes members in lower camel case."""
    own = name[:1].lower() + name[1:]
    return f"{path}.{own}" if path else own


def _show(value: Any, depth: int = 3) -> str:
    """A value as the service prints it, cut where it is long or deep."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, (dict, list)) and depth == 0:
        text = "..."
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{key}={_show(member, depth - 1)}" for key, member in value.items()) + "}"
    elif isinstance(value, list):
        text = "[" + ", ".join(_show(member, depth - 1) for member in value) + "]"
    else:
        text = str(value) if isinstance(value, (int, float, datetime)) else type(value).__name__
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_without_nulls(member) for member in value]
    return value
