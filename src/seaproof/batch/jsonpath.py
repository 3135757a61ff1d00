"""The JSONPath subset of DataProcessing: `$`, `.name`, `['a','b']`, `*`, `[0]`, `[-1]`, `[1,3]`, `[1:4]`.

Source: developer guide, "Associate prediction results with input records", supported operators. A path that can mean
one value gives that value; several names give an object of them; several numbers, a slice and `*` give a list. A name
or a number that is not there is an error, a slice is cut where the list ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from seaproof.errors import SeaproofError

MAX_LENGTH = 63  # API model: JsonPath maximum


class PathError(SeaproofError):
    """A path that cannot be read, or that does not fit a record."""


@dataclass(frozen=True, slots=True)
class Names:
    """`.name`, `['name']` or `['a','b']`."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Numbers:
    """`[0]`, `[-1]` or `[1,3]`."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """`[1:]`, `[:4]`, `[1:4]`."""

    start: int | None
    stop: int | None


@dataclass(frozen=True, slots=True)
class Every:
    """`*`."""


Step = Names | Numbers | Slice | Every

_NAME = re.compile(r"[^.\[\]'\"\s,*$:()?@]+")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_NUMBER = re.compile(r"[+-]?\d+")
_SLICE = re.compile(r"\s*(-?\d+)?\s*:\s*(-?\d+)?\s*")


@lru_cache(256)
def parse(text: str) -> tuple[Step, ...]:
    """The steps of a path, none for `$`. PathError says where it cannot be read on."""
    if len(text) > MAX_LENGTH:
        raise PathError(f"a filter has at most {MAX_LENGTH} characters, this one {len(text)}", where=text)
    if not text.startswith("$"):
        raise _unreadable(text, 0, "a path begins with $")
    steps: list[Step] = []
    at = 1
    while at < len(text):
        if text[at] == ".":
            at += 1
            if text[at : at + 1] == "[":  # `$.a.['b']`, as the developer guide writes it too
                continue
            if text[at : at + 1] == "*":
                steps.append(Every())
                at += 1
                continue
            name = _NAME.match(text, at)
            if name is None:
                raise _unreadable(text, at, "a name is expected after the dot")
            steps.append(Names((name[0],)))
            at = name.end()
        elif text[at] == "[":
            step, at = _bracket(text, at + 1)
            steps.append(step)
        else:
            raise _unreadable(text, at, "a dot or a bracket is expected")
    return tuple(steps)


def _bracket(text: str, at: int) -> tuple[Step, int]:
    """The step whose bracket was opened before `at`, and where the text goes on."""
    end = _closing(text, at)
    inside = text[at:end].strip()
    if inside == "*":
        return Every(), end + 1
    if found := _SLICE.fullmatch(inside):
        return Slice(*(int(part) if part else None for part in found.groups())), end + 1
    parts = _parts(inside)
    if parts and all(_NUMBER.fullmatch(part) for part in parts):
        return Numbers(tuple(int(part) for part in parts)), end + 1
    quoted = [_QUOTED.fullmatch(part) for part in parts]
    names = tuple(re.sub(r"\\(.)", r"\1", found[1] if found[1] is not None else found[2]) for found in quoted if found)
    if not names or len(names) < len(parts):
        raise _unreadable(text, at, "numbers, quoted names, a slice or * are expected between brackets")
    return Names(names), end + 1


def _closing(text: str, at: int) -> int:
    """Where the bracket closes, quotes passed over."""
    while at < len(text):
        if text[at] in "'\"":
            found = _QUOTED.match(text, at)
            if found is None:
                raise _unreadable(text, at, "the quote does not close")
            at = found.end()
        elif text[at] == "]":
            return at
        else:
            at += 1
    raise _unreadable(text, len(text), "the bracket does not close")


def _parts(inside: str) -> list[str]:
    """Split at commas outside quotes."""
    parts, begun, at = [], 0, 0
    while at < len(inside):
        found = _QUOTED.match(inside, at)
        if found:
            at = found.end()
            continue
        if inside[at] == ",":
            parts.append(inside[begun:at].strip())
            begun = at + 1
        at += 1
    return [*parts, inside[begun:].strip()]


def select(steps: tuple[Step, ...], value: Any) -> Any:
    """What the path means in a JSON value. PathError where it leads nowhere."""
    for number, step in enumerate(steps):
        if isinstance(step, Names):
            value = _named(step, value)
        elif isinstance(step, Numbers):
            value = _numbered(step, value)
        else:
            found = _several(step, value)
            return [select(steps[number + 1 :], each) for each in found]
        if isinstance(step, Numbers) and len(step.numbers) > 1:
            return [select(steps[number + 1 :], each) for each in value]
    return value


def columns(steps: tuple[Step, ...], count: int) -> list[int]:
    """The columns that a path means in a CSV row of `count` cells. PathError where it fits no row, or not this one."""
    if not steps:
        return list(range(count))
    if len(steps) > 1 or isinstance(steps[0], Names):
        raise PathError("a row of a CSV file is a list: use numbers, as in $[0], $[1:] or $[0,-1]")
    step = steps[0]
    if isinstance(step, Numbers):
        return [_checked(number, count, "column") for number in step.numbers]
    return list(range(count))[slice(step.start, step.stop)] if isinstance(step, Slice) else list(range(count))


def _named(step: Names, value: Any) -> Any:
    if not isinstance(value, dict):
        raise PathError(f"{step.names[0]!r} is looked for in {_what(value)}, which has no names")
    for name in step.names:
        if name not in value:
            raise PathError(f"there is no {name!r}, but {', '.join(map(repr, value)) or 'nothing'}")
    if len(step.names) == 1:
        return value[step.names[0]]
    return {name: value[name] for name in step.names}


def _numbered(step: Numbers, value: Any) -> Any:
    if not isinstance(value, list):
        raise PathError(f"[{step.numbers[0]}] is looked for in {_what(value)}, which is no list")
    found = [value[_checked(number, len(value), "element")] for number in step.numbers]
    return found[0] if len(found) == 1 else found


def _several(step: Slice | Every, value: Any) -> list[Any]:
    if isinstance(step, Slice):
        if not isinstance(value, list):
            raise PathError(f"a slice is taken of {_what(value)}, which is no list")
        return value[slice(step.start, step.stop)]
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list):
        return value
    raise PathError(f"* stands for what is in {_what(value)}, which holds nothing")


def _checked(number: int, count: int, what: str) -> int:
    if not -count <= number < count:
        raise PathError(f"there is no {what} {number}: it has {count}")
    return number % count


def _what(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return kinds.get(type(value), "a number")


def _unreadable(text: str, at: int, why: str) -> PathError:
    return PathError(f"{text!r} cannot be read at character {at + 1}: {why}")
