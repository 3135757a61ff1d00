"""The libraries that an image may or may not have; each is used where present and none is required."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

FAST = ("numpy", "orjson", "simdjson")


@cache
def library(name: str) -> Any:
    """The module of this name, or None where the image has none that works; imported on first use.

    Importing numpy takes a tenth of a second, which a container should not spend before its port is open.
    """
    try:
        return importlib.import_module(name)
    except Exception:  # a broken installation counts as an absent one: the codecs work without it
        return None


def preload() -> None:
    """Import what decoding and encoding may use, so that no request waits for it and workers share its memory."""
    for name in FAST:
        library(name)
