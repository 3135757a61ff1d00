"""A local server as a process of its own, and clients made for it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from seaproof.api.client import Client, find

ROLE = "arn:aws:iam::000000000000:role/any"
KEYS = {"region_name": "us-east-1", "aws_access_key_id": "any", "aws_secret_access_key": "any"}


@contextmanager
def local_server(root: Path, *options: str, env: dict[str, str] | None = None) -> Iterator[Client]:
    """`seaproof up --foreground` for the project in this folder, on a free port, ended with the block."""
    process = start(root, *options, env=env)
    try:
        with wait_until_up(root, process) as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (root / "server.log").read_text()


def start(root: Path, *options: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start it, and do not wait."""
    command = [sys.executable, "-m", "seaproof.cli", "up", "--foreground", "--driver", "process", "--port", "0"]
    with (root / "server.log").open("ab") as log:
        return subprocess.Popen([*command, *options, "--project", root], stdout=log, stderr=log, env=env)


def wait_until_up(root: Path, process: subprocess.Popen[bytes], state: Path | None = None) -> Client:
    """A client of the server that this process is."""
    deadline = time.monotonic() + 60
    while (client := find(state or root / ".seaproof")) is None:
        assert process.poll() is None, (root / "server.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return client


def service(name: str, url: str, **config: Any) -> Any:
    """A boto3 client of one service at this address."""
    return boto3.client(name, endpoint_url=url, config=Config(retries={"max_attempts": 1}, **config), **KEYS)


def make_project(root: Path) -> Path:
    """A project whose image `times` multiplies by what it was trained with; its folder."""
    shutil.copytree(Path(__file__).parent / "times", root, dirs_exist_ok=True)
    toml, programs = root / "seaproof.toml", Path(sys.executable).parent
    toml.write_text(toml.read_text().replace('"seaproof-container"', f'"{programs / "seaproof-container"}"'))
    return root
