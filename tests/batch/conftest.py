"""What the tests of transform jobs in one process share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from transform_lab import Asked, Lab, close_plane, open_plane


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A plane, and what its model `m` is asked; it answers with what it got."""
    asked = Asked()
    plane = open_plane(tmp_path, {"m": asked})
    yield plane, asked
    close_plane(plane)
