"""Fixtures of the tests that ship: one moto server for all of a process, emptied for each test."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import ship_lab

from seaproof.project import Project


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    with ship_lab.moto_server() as url:
        yield url


@pytest.fixture
def account(moto_url: str) -> ship_lab.Account:
    return ship_lab.Account(ship_lab.emptied(moto_url))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return ship_lab.project_in(tmp_path / "flowers")


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry of our own on a free port, empty, with its files in a folder of the test."""
    program = shutil.which("docker-registry")
    assert program, "Debian's package docker-registry is missing; .ci/run installs it"
    address = ship_lab.free_address()
    folder = tmp_path_factory.mktemp("registry")
    config = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(folder)}}, "http": {"addr": address}}
    (folder / "config.json").write_text(json.dumps(config))
    with ship_lab.running([program, "serve", str(folder / "config.json")], f"http://{address}/v2/"):
        yield address
