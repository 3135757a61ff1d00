"""The planes that tests open, closed when a test ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import endpoint_lab
import job_lab as lab
import pytest
from job_lab import Opener

from seaproof.control.plane import Plane


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    """One for endpoints, on the fake driver."""
    plane = endpoint_lab.open_plane(tmp_path / "state")
    yield plane
    endpoint_lab.close_plane(plane)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens planes on one state; `programs` are what the fake driver runs, by image."""
    planes: list[Plane] = []

    def open_plane(programs: Any = None, **knobs: Any) -> Plane:
        planes.append(lab.open_plane(tmp_path / "state", programs, **knobs))
        return planes[-1]

    yield open_plane
    for plane in planes:
        lab.close_plane(plane)
