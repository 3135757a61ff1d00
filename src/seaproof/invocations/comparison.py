"""What a shadow variant answered, held against what the production variant answered to the same request."""

from __future__ import annotations

import re
from dataclasses import dataclass

from seaproof.http.message import Response

SAME, DIFFERENT, FAILED = "same", "different", "failed"
SHOWN_BYTES = 512
"""Of each body, where they differ."""

_NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_LOOKED_INTO = 1024 * 1024
"""Bytes up to which numbers are looked for."""


@dataclass(frozen=True)
class Comparison:
    """`verdict` is `same` (status and bytes), `different`, or `failed` (the shadow did not answer with 2xx)."""

    verdict: str
    what: str = ""
    """What differs: `status`, `type`, `numbers` (nothing but the values of numbers) or `body`."""
    largest: float | None = None
    """The largest difference between two numbers, where only numbers differ."""


def compare(production: Response, shadow: Response) -> Comparison:
    """Both bodies are bytes."""
    if shadow.status // 100 != 2:
        agree = shadow.status == production.status
        return Comparison(SAME if agree and shadow.body == production.body else FAILED, "" if agree else "status")
    if production.status != shadow.status:
        return Comparison(DIFFERENT, "status")
    if production.body != shadow.body:
        assert isinstance(production.body, bytes)
        assert isinstance(shadow.body, bytes)
        largest = _largest_difference(production.body, shadow.body)
        return Comparison(DIFFERENT, "body" if largest is None else "numbers", largest)
    if _type(production) != _type(shadow):
        return Comparison(DIFFERENT, "type")
    return Comparison(SAME)


def _largest_difference(one: bytes, other: bytes) -> float | None:
    """Of two texts that are the same but for the numbers in them; None for any others."""
    if max(len(one), len(other)) > _LOOKED_INTO:
        return None
    try:
        texts = one.decode(), other.decode()
    except UnicodeDecodeError:
        return None
    around = [_NUMBER.split(text) for text in texts]
    if around[0] != around[1]:
        return None
    pairs = zip(*(_NUMBER.findall(text) for text in texts), strict=True)
    return max((abs(float(a) - float(b)) for a, b in pairs), default=None)


def _type(response: Response) -> bytes:
    return next((value for name, value in response.headers if name.lower() == b"content-type"), b"")
