"""The regular expressions of the API models, read by Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from seaproof.api import operations, patterns, spec


def shapes_below(shape: Any, seen: set[str]) -> Iterator[Any]:
    if shape.name in seen:
        return
    seen.add(shape.name)
    yield shape
    inner = {
        "structure": lambda: shape.members.values(),
        "list": lambda: [shape.member],
        "map": lambda: [shape.key, shape.value],
    }.get(shape.type_name, list)
    for member in inner():
        yield from shapes_below(member, seen)


@pytest.mark.parametrize("service", [spec.CONTROL, spec.RUNTIME])
def test_every_pattern_of_every_request_is_read(service: str) -> None:
    names = [spec.input_shape(operation, service) for operation in spec.operations(service).values()]
    seen: set[str] = set()
    found = {
        shape.metadata["pattern"]
        for top in names
        if top is not None
        for shape in shapes_below(top, seen)
        if "pattern" in shape.metadata
    }

    assert len(found) > (150 if service == spec.CONTROL else 5)
    for pattern in found:
        assert patterns.compiled(pattern, True)
    for pattern in found & {p for p in found if "\\p" in p}:
        assert patterns.compiled(pattern)


def test_the_operations_that_seaproof_has_are_of_the_model() -> None:
    assert set(operations.supported()) <= set(spec.operations().values())


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", "a-b--c", True),
        (r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", "a-", False),
        (r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", "a\n", False),
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "Größe 10/x@y", True),
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "数字٣", True),
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "a*b", False),
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "ü*", False),
        (r"([\p{L}\p{Z}\p{N}_.:\/=+\-@]*)${1,256}", "abc", True),
        (r"([\p{L}\p{Z}\p{N}_.:\/=+\-@]*)${1,256}", "a\tc", False),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*", "a \N{GRINNING FACE}\t", True),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*", "a\x01", False),
        (r"arn:[\p{Alnum}\-]+:x", "arn:aws-cn:x", True),
        (r"\A\S[\p{Print}]*\z", "model.tar.gz", True),
        (r"\A\S[\p{Print}]*\z", "model\n", False),
        (r"\d{12}", "١٢٣٤٥٦٧٨٩٠١٢", False),
        (r"[\S]+", "a b", False),
    ],
)
def test_patterns_mean_what_the_service_means(pattern: str, text: str, matches: bool) -> None:
    assert patterns.matches(pattern, text) is matches
