"""Fixtures of the tests that ship: one moto server for all of a process, emptied for each test."""

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
