"""application/octet-stream: bytes as they are, in and out."""

from __future__ import annotations

from typing import Any

from seaproof.contract.http import MediaType
from seaproof.serving.codecs.shapes import Unfit

TYPE = "application/octet-stream"


def decode(body: bytes, media: MediaType) -> bytes:
    """The body itself, an empty one too."""
    return body


def encode(value: Any, media: MediaType) -> bytes:
    """bytes, bytearray and memoryview; text as UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise Unfit(f"a value of type {type(value).__name__}, which is not bytes")
