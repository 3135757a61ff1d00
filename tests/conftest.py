"""What tests of several parts share: a plane on an empty folder, with the fake driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from seaproof.control.plane import Plane
from seaproof.control.store import Store
from seaproof.drivers.fake import FakeDriver
from seaproof.invocations.send import Sender
from seaproof.settings import Settings
from seaproof.storage.local import LocalStorage


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    folder = tmp_path / "state"
    plane = Plane(
        folder=folder,
        settings=Settings(),
        store=Store(folder / "seaproof.db"),
        storage=LocalStorage(folder / "s3"),
        driver=FakeDriver(folder),
        sender=Sender(),
    )
    yield plane
    plane.join(10)
    plane.sender.close()
    plane.store.close()
