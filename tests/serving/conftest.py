"""What the serving tests start: a container, and one of many models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from container_process import Container
from many_models import ManyModels

from seaproof.drivers.ports import free_port


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    """A serving container that has not been started."""
    made = Container(tmp_path, free_port())
    yield made
    if made.process and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


@pytest.fixture
def many(container: Container) -> ManyModels:
    """A container of many models that has not been started."""
    return ManyModels(container)
