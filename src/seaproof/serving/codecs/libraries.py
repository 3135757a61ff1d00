"""The libraries that an image may or may not have; each is used where present and none is required."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache
from typing import Any

FAST = ("numpy", "orjson", "simdjson")

UNPACKED_MAX = 256 * 1024 * 1024
"""Bytes that a compressed or sparse body may unfold to: ten times the largest body that the platform lets through."""


@cache
def library(name: str) -> Any:
    """The module of this name, or None where the image has none that works; imported on first use.

    Importing numpy takes a tenth of a second, which a container should not spend before its port is open.
    """
    try:
        return importlib.import_module(name)
    except Exception:  # a broken installation counts as an absent one: the codecs work without it
        return None


def is_there(name: str) -> bool:
    """Whether the image has this library, without importing it."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def preload() -> None:
    """Import what decoding and encoding may use, so that no request waits for it and workers share its memory."""
    for name in FAST:
        library(name)
    if "pyarrow" in sys.modules:  # the model needs it; for large tables alone it is too much to load
        library("pyarrow.csv")
