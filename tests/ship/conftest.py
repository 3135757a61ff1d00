"""Fixtures of the tests that ship: one moto server for all of a process, emptied for each test."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
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
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{chosen.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("registry")
    config = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(folder)}}, "http": {"addr": address}}
    (folder / "config.json").write_text(json.dumps(config))
    program = shutil.which("docker-registry")
    assert program, "Debian's package docker-registry is missing; .ci/run installs it"
    process = subprocess.Popen([program, "serve", str(folder / "config.json")], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://{address}/v2/", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "the registry did not answer"
                time.sleep(0.05)
        yield address
    finally:
        process.kill()
        process.wait()
