"""A transform job whose containers a Docker engine runs, from the command line to the last container."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from command_lab import environment

from seaproof.drivers.docker.engine import find_engine


@pytest.mark.docker
def test_objects_go_through_two_containers_with_filter_and_join_and_nothing_is_left(
    open_path: Path, probe_image: str
) -> None:
    root = open_path / "project"
    (root / "data" / "deep").mkdir(parents=True)
    (root / "seaproof.toml").write_text(f'[project]\nname = "indocker"\nimage = "{probe_image}"\n')
    (root / "weights").write_text("0.25")
    with tarfile.open(root / "model.tar.gz", "w:gz") as tar:
        tar.add(root / "weights", "weights")
    (root / "data" / "a.csv").write_bytes(b"1,one\n2,two\n")
    (root / "data" / "deep" / "b.csv").write_bytes(b"3,three")
    line = [sys.executable, "-m", "seaproof.cli", "transform", "data", "--model", "model.tar.gz", "--output", "out"]
    more = ["--driver", "docker", "--instances", "2", "--input-filter", "$[1:]", "--join", "--env", "COLOUR=blue"]

    done = subprocess.run([*line, *more], cwd=root, capture_output=True, text=True, timeout=100, env=environment())

    assert done.returncode == 0, done.stderr
    assert (root / "out" / "a.csv.out").read_bytes() == b"1,one,one\n2,two,two\n"
    assert (root / "out" / "deep" / "b.csv.out").read_bytes() == b"3,three,three\n"
    streams = {log.name.split("-i-")[0] for log in root.glob(".seaproof/logs/TransformJobs/*/algo-*")}
    assert streams == {"algo-1", "algo-2"}
    client = find_engine().client()
    try:
        # Whatever the label: a workload's folder is mounted into its container.
        assert not [found for found in client.containers(all=True) if str(root) in str(found["Mounts"])]
    finally:
        client.close()
    assert not list((root / ".seaproof" / "workloads").glob("*"))
