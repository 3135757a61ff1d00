from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from seaproof.http.server import run as run_on_uvloop


@pytest.fixture(params=[run_on_uvloop, asyncio.run], ids=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Runs a coroutine: every test that takes this passes on both loops."""
    return request.param  # type: ignore[no-any-return]
