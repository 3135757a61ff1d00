"""The whole way of a release pipeline, command by command, with the local server as the account and a real registry.

Build, push, train with all output in a file, the job's name from its last line, batch predictions of a folder by that
job's model, synced down. Nothing of it stands in the code of a script: all of it is in seaproof.toml.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ship_lab import seaproof

from seaproof.cli.init import write_template
from seaproof.drivers.docker.engine import find_engine

ROOT = Path(__file__).parent.parent.parent
SHIP = """
[ship]
region = "eu-west-1"
bucket = "release-bucket"
role = "release-role"
[ship.image]
network = "host"
arguments = { BASE = "seaproof-base:latest" }
[ship.training]
instance_type = "ml.m5.xlarge"
[ship.transform]
instance_type = "ml.m5.xlarge"
"""


@pytest.fixture
def cloud(tmp_path: Path, registry: str) -> Iterator[str]:
    """The address of a local server that stands for AWS: containers in Docker, ECR pointing at the registry."""
    folder = tmp_path / "cloud"
    folder.mkdir()
    environ = {**os.environ, "SEAPROOF_DRIVER": "docker", "SEAPROOF_PORT": "0", "SEAPROOF_REGISTRY": registry}
    run = [sys.executable, "-m", "seaproof.cli"]
    subprocess.run([*run, "up"], cwd=folder, env=environ, check=True, capture_output=True, timeout=60)
    said = subprocess.run([*run, "env", "--json"], cwd=folder, env=environ, check=True, capture_output=True, timeout=60)
    yield json.loads(said.stdout)["AWS_ENDPOINT_URL"]
    subprocess.run([*run, "down"], cwd=folder, env=environ, check=True, capture_output=True, timeout=120)


@pytest.fixture
def released(tmp_path: Path) -> Iterator[Path]:
    """A project as `init` writes it, with the wheel under test in its image; the image is removed again."""
    root = tmp_path / f"released{os.getpid()}"
    write_template(root)
    [wheel] = (ROOT / "dist").glob("*.whl")
    (root / wheel.name).write_bytes(wheel.read_bytes())
    (root / "seaproof.toml").write_text((root / "seaproof.toml").read_text() + SHIP)
    yield root
    client = find_engine().client()
    try:
        for found in client.images():
            for tag in found["RepoTags"] or []:
                if root.name in tag:
                    client.remove_image(tag, force=True)
    finally:
        client.close()


@pytest.mark.docker
def test_a_release_from_the_build_to_the_predictions_of_a_folder(released: Path, cloud: str):
    incoming = released / "incoming"
    incoming.mkdir()
    rows = (released / "data" / "sample.csv").read_text()
    for name in ("monday.csv", "tuesday.csv"):
        (incoming / name).write_text(rows)

    pushed = seaproof(released, cloud, "push", "--json")
    assert pushed.returncode == 0, pushed.stderr
    trained = seaproof(released, cloud, "train", "--target", "aws", "--out", "training_output.txt")
    assert trained.returncode == 0, trained.stderr
    lines = (released / "training_output.txt").read_text().splitlines()
    transform = ["transform", "incoming", "--target", "aws", "--out", "training_output.txt", "--output", "down"]
    predicted = seaproof(released, cloud, *transform)
    assert predicted.returncode == 0, predicted.stderr
    again = seaproof(released, cloud, "train", "--target", "aws", "--out", "training_output.txt")
    removed = seaproof(released, cloud, "unship", "--yes")

    assert json.loads(pushed.stdout)["names"]["image"].startswith("127.0.0.1:")
    assert any(line.startswith("accuracy") for line in lines)
    assert lines[-1].startswith(released.name)
    assert (released / "training_output.txt").read_text().splitlines()[-1] == lines[-1]
    assert "which has completed" in again.stderr
    found = sorted(path.name for path in (released / "down").iterdir())
    assert found == ["monday.csv.out", "tuesday.csv.out"]
    labels = next(csv.reader([(released / "down" / "monday.csv.out").read_text().replace("\n", ",")]))
    assert "setosa" in "".join(labels)
    assert removed.returncode == 0, removed.stderr
