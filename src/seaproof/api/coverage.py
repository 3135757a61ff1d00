"""What the local server has of each API, told by the code itself: nothing here is a list that could go stale.

Operations come from dispatch; their members from botocore's model. Where an operation holds its request to tables
(`control.fields`), those say what is honoured, ignored and refused. Where it does not, a member counts as read if its
name occurs in the operation's function, or in what that calls and refers to; one that is never read has no effect.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from seaproof.api import moto_coverage, moto_services, operations, runtime, spec
from seaproof.api.spec import Shape
from seaproof.control import async_invocations, fields
from seaproof.invocations import answers, flow

OURS = ("sagemaker", "sagemaker-runtime", "s3", "logs")
SERVICES = (*OURS, *moto_coverage.SERVICES)
REAL, PARTIAL, ABSENT = "real", "partial", "absent"
MOTO = "moto"
"""Answered by moto in this process: what its members do there is moto's."""
_DEEPEST = 6
_LONGEST = 40
"""Characters of a name; what is longer is a sentence."""


@dataclass(frozen=True)
class Operation:
    """One operation of an API: `real` all of it, `partial` but for what is ignored or refused, `moto` or `absent`."""

    service: str
    name: str
    state: str
    ignored: list[str] = field(default_factory=list)
    """Members that are taken and have no effect."""
    refused: list[str] = field(default_factory=list)
    """Members that end in an error which names them."""


@cache
def of_service(service: str) -> list[Operation]:
    """Every operation of the API, in the order of its names."""
    has = _functions(service)
    every = [_judge(service, name, has.get(name)) for name in sorted(spec.service(service).operation_names)]
    of_moto = moto_coverage.names(service) if service not in OURS else ()
    return [replace(one, state=MOTO) if one.state == ABSENT and one.name in of_moto else one for one in every]


def _functions(service: str) -> dict[str, Callable[..., Any]]:
    if service == "sagemaker":
        return dict(operations.functions())
    if service == "sagemaker-runtime":
        return _of_runtime()
    if service == "s3":
        from seaproof.api.s3 import app

        return dict(app.functions())
    if service != "logs":
        return {name: function for of, name, function in moto_services.OURS if of == service}
    from seaproof.api import cloudwatch_logs
    from seaproof.api.json_service import functions

    return dict(functions(service, cloudwatch_logs))


def _of_runtime() -> dict[str, Callable[..., Any]]:
    """Operations of the runtime are methods, told apart by the last part of their path."""
    found = {}
    model = spec.service(spec.RUNTIME)
    for name in model.operation_names:
        path = model.operation_model(name).http["requestUri"].partition("?")[0]
        method = runtime.ROUTES.get(path.rpartition("/")[2])
        if method is not None:
            found[name] = getattr(runtime.Runtime, method)
    return found


def _judge(service: str, name: str, function: Callable[..., Any] | None) -> Operation:
    if function is None:
        return Operation(service, name, ABSENT)
    shape = spec.input_shape(name, service)
    ignored: list[str] = []
    refused: list[str] = []
    tables = fields.tables(function) if service == "sagemaker" else None
    if tables is not None and shape is not None:
        for path, how in _by_tables(shape, "", tables, tables.inner):
            (ignored if how == "ignored" else refused).append(path)
    elif service == "sagemaker-runtime" and shape is not None:
        ignored, refused = _of_headers(name, shape)
    elif shape is not None:
        words = _words_of_operation(service, name, function)
        ignored = [member for member, part in shape.members.items() if not _is_read(member, part, words)]
    return Operation(service, name, PARTIAL if ignored or refused else REAL, ignored, refused)


def _by_tables(shape: Shape, base: str, tables: fields.Tables, inner: set[str]) -> Iterator[tuple[str, str]]:
    """Every member that is ignored or refused, as a path; what is below such a one is not listed."""
    for name, member in shape.members.items():
        path = f"{base}.{name}" if base else name
        if path in inner and path.count(".") < _DEEPEST:
            while member.type_name in ("list", "map"):
                member = member.member if member.type_name == "list" else member.value
            if member.type_name == "structure":
                yield from _by_tables(member, path, tables, inner)
        elif path in tables.ignored:
            yield path, "ignored"
        elif path not in tables.honoured:
            yield path, "refused"
        else:
            for one in sorted(tables.refused_values):
                if one.partition("=")[0] == path:
                    yield one, "refused"


def _of_headers(name: str, shape: Shape) -> tuple[list[str], list[str]]:
    """The members of a runtime operation that are ignored, and those that are refused.

    A request of the runtime is its headers; those of another operation are read as InvokeEndpoint has them.
    """
    words: set[str] = set()
    if name == "InvokeEndpointAsync":
        for function in (async_invocations.accept, vars(async_invocations.Accepted)["headers"].fget):
            _gather(function, words, set())
        return [member for member, part in shape.members.items() if not _is_read(member, part, words)], []
    _gather(flow.invocation, words, set())
    as_invoked = spec.input_shape("InvokeEndpoint", spec.RUNTIME)
    assert as_invoked is not None
    unsupported = {header.decode() for header in answers.NOT_SUPPORTED if header not in flow.DECIDED_LATER}
    ignored, refused = [], []
    for member in shape.members:
        part = as_invoked.members.get(member)
        header = str(part.serialization.get("name", "")).lower() if part is not None else ""
        if part is not None and part.serialization.get("location") != "header":
            continue  # the path and the body
        if header in unsupported:
            refused.append(member)
        elif header not in words:
            ignored.append(member)
    return ignored, refused


def _is_read(name: str, member: Shape, words: set[str]) -> bool:
    header = str(member.serialization.get("name", name)).lower()
    if name in words or header in words or any(len(word) > 9 and header.startswith(word) for word in words):
        return True
    # A name that the code puts together, as `CopySource` and `IfMatch`.
    return any(name.startswith(word) and name[len(word) :] in words for word in words if len(word) > 3)


def _words_of_operation(service: str, name: str, function: Callable[..., Any]) -> set[str]:
    words: set[str] = set()
    _gather(function, words, set())
    if service == "s3":
        from seaproof.api.s3 import app, rest_xml
        from seaproof.api.s3.bodies import Checked

        words.update(app.HONOURED)
        if not rest_xml.takes_document(name):
            for method in (Checked.__init__, Checked.finish):
                _gather(method, words, set())
    return words


def _gather(function: Any, words: set[str], seen: set[Any]) -> None:
    """All texts that a function of ours has in it, with those of what it calls and refers to."""
    function = getattr(function, "__wrapped__", function)
    if function in seen:
        return
    seen.add(function)
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes += [part for part in code.co_consts if isinstance(part, types.CodeType)]
        for part in code.co_consts:
            _texts(part, words)
        for name in code.co_names:
            _refer(function.__globals__.get(name), code.co_names, words, seen)


def _refer(value: Any, names: tuple[str, ...], words: set[str], seen: set[Any]) -> None:
    """Follow one global name: to a function or a constant of ours, or through a module to such."""
    if isinstance(value, types.ModuleType) and value.__name__.startswith("seaproof."):
        for name in names:
            inside = vars(value).get(name)
            if not isinstance(inside, types.ModuleType):
                _refer(inside, names, words, seen)
    elif isinstance(getattr(value, "__wrapped__", value), types.FunctionType):
        if getattr(value, "__module__", "").startswith("seaproof."):
            _gather(value, words, seen)
    elif isinstance(value, type):
        # A kind of job says how its members begin: `Training`.
        if value.__module__.startswith("seaproof."):
            _texts([text for text in vars(value).values() if isinstance(text, str) and len(text) < _LONGEST], words)
    else:
        _texts(value, words)


def _texts(value: Any, words: set[str]) -> None:
    if isinstance(value, str):
        words.add(value)
    elif isinstance(value, bytes):
        words.add(value.decode("latin-1"))
    elif isinstance(value, (tuple, list, set, frozenset)):
        for part in value:
            _texts(part, words)
    elif isinstance(value, dict):
        for key, part in value.items():
            _texts(key, words)
            _texts(part, words)
