"""Writing HCL as `terraform fmt` leaves it: blocks, attributes in columns, two spaces. Only what exports need.

Source: the Terraform language's documentation, "Syntax" and "Style Conventions".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Expression:
    """Written as it is: `aws_iam_role.role.arn`."""

    text: str


@dataclass(frozen=True)
class Json:
    """`jsonencode(...)` of this value."""

    value: Any


@dataclass
class Block:
    """`kind "label" "label" { ... }`; a value that is a Block, or a list of them, is written as nested blocks."""

    kind: str
    labels: Sequence[str] = ()
    body: dict[str, Any] = field(default_factory=dict)


def text(blocks: Sequence[Block]) -> str:
    """The file that holds these blocks."""
    return "\n".join("".join(f"{line}\n" for line in _block(block, 0)) for block in blocks)


def _block(block: Block, depth: int) -> Iterator[str]:
    head = " ".join([block.kind, *(json.dumps(label) for label in block.labels)])
    if not block.body:
        yield f"{_pad(depth)}{head} {{}}"
        return
    yield f"{_pad(depth)}{head} {{"
    yield from _body(block.body, depth + 1)
    yield f"{_pad(depth)}}}"


def _body(body: Mapping[str, Any], depth: int) -> Iterator[str]:
    nested = {key: value for key, value in body.items() if _is_nested(value)}
    plain = {key: value for key, value in body.items() if key not in nested}
    yield from _attributes(plain, depth, _pad(depth))
    first = not plain
    for value in nested.values():
        for block in [value] if isinstance(value, Block) else value:
            if not first:
                yield ""
            first = False
            yield from _block(block, depth)


def _attributes(given: Mapping[str, Any], depth: int, pad: str) -> Iterator[str]:
    """`key = value`, the signs of those that stand on one line below each other."""
    run: list[tuple[str, str]] = []
    for key, value in given.items():
        lines = _value(value, depth)
        if len(lines) == 1:
            run.append((key, lines[0]))
            continue
        yield from _aligned(run, pad)
        run = []
        yield f"{pad}{key} = {lines[0]}"
        yield from lines[1:]
    yield from _aligned(run, pad)


def _aligned(run: list[tuple[str, str]], pad: str) -> Iterator[str]:
    width = max((len(key) for key, _ in run), default=0)
    for key, value in run:
        yield f"{pad}{key:<{width}} = {value}"


def _value(value: Any, depth: int) -> list[str]:
    if isinstance(value, Expression):
        return [value.text]
    if isinstance(value, Json):
        lines = _value(value.value, depth)
        lines[0] = f"jsonencode({lines[0]}"
        lines[-1] += ")"
        return lines
    if isinstance(value, Mapping):
        if not value:
            return ["{}"]
        keys = {(key if _NAME.fullmatch(key) else _quoted(key)): inner for key, inner in value.items()}
        return ["{", *_attributes(keys, depth + 1, _pad(depth + 1)), f"{_pad(depth)}}}"]
    if isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        items = [_value(item, depth + 1) for item in value]
        lines = [line for first, *rest in items for line in (f"{_pad(depth + 1)}{first}", *rest[:-1], f"{rest[-1]},")]
        return ["[", *lines, f"{_pad(depth)}]"]
    if isinstance(value, (list, tuple)):
        return [f"[{', '.join(_value(item, depth)[0] for item in value)}]"]
    if isinstance(value, str):
        return [_quoted(value)]
    return [json.dumps(value)]


def _quoted(value: str) -> str:
    """A string in which nothing is a template."""
    return json.dumps(value, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def _is_nested(value: Any) -> bool:
    return isinstance(value, Block) or (isinstance(value, list) and bool(value) and isinstance(value[0], Block))


def _pad(depth: int) -> str:
    return "  " * depth
