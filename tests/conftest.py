"""What tests of several parts share: a plane on an empty folder, and the `docker` mark.

The `docker` mark: such a test needs an engine and the base image; without them it is skipped, but fails in CI.
"""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from seaproof.control.plane import Plane
from seaproof.control.store import Store
from seaproof.drivers.docker.engine import find_engine
from seaproof.drivers.fake import FakeDriver
from seaproof.errors import DriverUnavailable
from seaproof.invocations.send import Sender
from seaproof.settings import Settings
from seaproof.storage.local import LocalStorage
from seaproof.testing import probe

# How long one example takes says nothing on a machine that others keep busy. The suite makes the same examples
# everywhere, so that what passes here passes in CI; `make fuzz` makes new ones.
settings.register_profile("seaproof", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("fuzz", settings.get_profile("seaproof"), derandomize=False, print_blob=True)
settings.load_profile("seaproof")

BASE_IMAGE = "seaproof-base:latest"
PROBE_IMAGE = "seaproof-test-workload"


@lru_cache
def _missing() -> str:
    """What a Docker test would miss here, or ""."""
    try:
        client = find_engine().client()
    except DriverUnavailable as error:
        return str(error)
    try:
        tags = [tag for image in client.images() for tag in image["RepoTags"] or []]
        return "" if BASE_IMAGE in tags else f"there is no image {BASE_IMAGE}; run tests/images/base/build"
    finally:
        client.close()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or fail in CI, what needs an engine where there is none."""
    if item.get_closest_marker("docker") and _missing():
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(f"in CI every Docker test runs: {_missing()}", pytrace=False)
        pytest.skip(_missing())


@pytest.fixture(scope="session")
def probe_image() -> str:
    """An image with `seaproof.testing.probe` as its entrypoint, built on the base image."""
    files = {
        "Dockerfile": f'FROM {BASE_IMAGE}\nWORKDIR /opt/program\nCOPY probe.py .\nENTRYPOINT ["python3", "probe.py"]\n',
        "probe.py": Path(probe.__file__).read_text(encoding="utf-8"),
    }
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    context.seek(0)
    client = find_engine().client()
    try:
        steps = list(client.build(fileobj=context, custom_context=True, tag=PROBE_IMAGE, rm=True, decode=True))
    finally:
        client.close()
    assert not [step for step in steps if "error" in step], steps
    return PROBE_IMAGE


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """A folder as `tmp_path`, which other users may enter too."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    return tmp_path


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
