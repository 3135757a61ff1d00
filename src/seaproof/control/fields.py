"""Which fields of a request an operation honours, which it records and ignores, and which it refuses.

Nothing is passed over in silence. An operation names every field that it has behaviour for, and every field that
has no meaning on one machine (a VPC, a KMS key): those are stored, shown by Describe, and listed as ignored in the
record (`_ignored`) and as an event. Any other field is refused by name.

A path such as `PrimaryContainer.Image` reaches into structures, lists and values of maps alike. A path stands for
all that is below it, unless longer paths in either table begin with it: then those decide. Where a field is honoured
but for one value, a third table has `path=value`, which is refused as a field is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from seaproof.control.store import Body, Store
from seaproof.errors import ServiceError

_asked: ContextVar[bool] = ContextVar("asked for its tables", default=False)


def check(
    operation: str,
    request: Body,
    implemented: Iterable[str],
    ignored: Iterable[str] = (),
    refused_values: Iterable[str] = (),
) -> list[str]:
    """The paths of the ignored fields that this request has, sorted.

    `operation` is the boto3 name. ServiceError (ValidationException) names all fields that are in neither table. A
    value that asks for nothing (False, an empty list, map or text) is never refused nor listed.
    """
    if _asked.get():
        raise _Told(implemented, ignored, refused_values)
    paths = set(_expand(implemented))
    silent = set(_expand(ignored))
    inner = _above(paths | silent)
    found: set[str] = set()
    refused: set[str] = set()
    for path, value in _leaves(request, "", inner):
        if (one := f"{path}={value}") in refused_values:
            refused.add(one)
        elif path in silent:
            found.add(path)
        elif path not in paths:
            refused.add(path)
    if refused:
        named = ", ".join(sorted(refused))
        raise ServiceError(
            "ValidationException",
            f"seaproof does not have {'these fields' if len(refused) > 1 else 'this field'} of {camel(operation)}:"
            f" {named}. Leave {'them' if len(refused) > 1 else 'it'} out here, or send the request to AWS.",
        )
    return sorted(found)


@dataclass(frozen=True)
class Tables:
    """What an operation has behaviour for, by path."""

    honoured: set[str]
    ignored: set[str]
    refused_values: set[str]
    """`path=value`: of fields that are honoured, but for this."""

    @property
    def inner(self) -> set[str]:
        """The paths that are looked into."""
        return _above(self.honoured | self.ignored)


def tables(operation: Callable[[Any, Body], Body]) -> Tables | None:
    """The tables of an operation; None where it has none.

    The operation itself tells: it is called with nothing to work on, and ends where it would check its request.
    """
    token = _asked.set(True)
    try:
        operation(None, _Anything())
    except _Told as told:
        return Tables(*(set(_expand(paths)) for paths in told.args))
    except Exception:
        return None
    finally:
        _asked.reset(token)
    return None


class _Told(Exception):
    """The tables that `check` was given."""


class _Anything(dict[str, Any]):
    """A request that has every member, for an operation that looks at one before it checks them."""

    def __missing__(self, name: str) -> str:
        return name


def _above(paths: set[str]) -> set[str]:
    return {path.rsplit(".", depth)[0] for path in paths for depth in range(1, path.count(".") + 1)}


def note(store: Store, kind: str, name: str, ignored: list[str]) -> None:
    """Append to the history of a record which fields of its request have no effect here, where there are any."""
    if ignored:
        store.add_event(kind, name, "FieldsIgnored", f"recorded, without effect here: {', '.join(ignored)}")


def camel(operation: str) -> str:
    """`create_model` as the API writes it: `CreateModel`."""
    return "".join(word[:1].upper() + word[1:] for word in operation.split("_"))


def _expand(paths: Iterable[str]) -> Iterator[str]:
    """`A.{B,C}` is short for `A.B` and `A.C`."""
    for path in paths:
        before, brace, rest = path.partition("{")
        if not brace:
            yield path
            continue
        names, _, after = rest.partition("}")
        for name in names.split(","):
            yield f"{before}{name.strip()}{after}"


def _leaves(value: Body, base: str, inner: set[str]) -> Iterator[tuple[str, Any]]:
    """The path and value of each member that asks for something; members in `inner` are looked into."""
    for name, member in value.items():
        path = f"{base}.{name}" if base else name
        if member is None or member is False or member in ("", [], {}):
            continue
        if path not in inner:
            yield path, member
            continue
        for part in _parts(member):
            yield from _leaves(part, path, inner)


def _parts(member: Any) -> Iterator[Body]:
    if isinstance(member, dict):
        yield member
    elif isinstance(member, list):
        for part in member:
            yield from _parts(part)
