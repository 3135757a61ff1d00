"""Jobs outlive their coordinator: killed with SIGKILL in any step, the next one goes on, with real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import job_lab as lab
import pytest
from job_lab import channel, describe, end_of, events, keys, members, request, secondaries, train, until
from killed_coordinator import process_driver

from seaproof.control.plane import Plane
from seaproof.control.training_jobs import create_training_job, recover_training_jobs, stop_training_job
from seaproof.drivers.ports import free_port

# Waits for the file `go` in its /opt/ml where it was told to, then saves what it read.
PROGRAM = """
import json, os, pathlib, signal, sys, time
base = pathlib.Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
told = json.loads((base / "input/config/hyperparameters.json").read_text())
read = {p.name: p.read_text() for p in sorted((base / "input/data/train").iterdir())}
print("read", len(read), flush=True)
(base / "model" / "model.json").write_text(json.dumps(read))
deadline = time.monotonic() + 60
while told.get("wait") and not (base / "go").exists() and time.monotonic() < deadline:
    time.sleep(0.02)
print("acc=0.5", flush=True)
sys.exit(int(told.get("exit", "0")))
"""

DATA = {"a": "first", "b": "second", "c": "third"}
ROOT = Path("workloads") / "training-job-algo-1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The state folder, with data in its bucket; the program lies beside it."""
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "train.py").write_text(PROGRAM)
    bucket = tmp_path / "state" / "s3" / "bucket" / "in"
    bucket.mkdir(parents=True)
    for name, text in DATA.items():
        (bucket / name).write_text(text)
    return tmp_path / "state"


def job(**hyperparameters: str) -> dict[str, Any]:
    return request(
        image="trainer",
        AlgorithmSpecification={"MetricDefinitions": [{"Name": "acc", "Regex": "acc=(.*)"}]},
        InputDataConfig=[channel("train", "s3://bucket/in/")],
        HyperParameters=hyperparameters,
    )


@contextmanager
def coordinator(folder: Path, hangs_in: str, given: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs the job and is killed with SIGKILL at the end of the block."""
    command = [sys.executable, str(Path(__file__).with_name("killed_coordinator.py")), str(folder)]
    command += [str(folder.parent / "program"), hangs_in, json.dumps(given)]
    search = os.pathsep.join([*(p for p in sys.path if p), str(Path(__file__).parent)])
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": search}) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def next_coordinator(folder: Path) -> Iterator[Plane]:
    plane = lab.open_plane(folder, driver=process_driver(folder, folder.parent / "program"), stop_job_grace=10.0)
    try:
        yield plane
    finally:
        lab.close_plane(plane)


def recover(plane: Plane) -> list[str]:
    return [handle.name for handle in recover_training_jobs(plane, plane.driver.recover())]


def step(folder: Path) -> str:
    """The secondary status as another process reads it."""
    with next_coordinator_store(folder) as store:
        record = store.get("training-job", "job")
        return str(record.body["SecondaryStatus"]) if record else ""


@contextmanager
def next_coordinator_store(folder: Path) -> Iterator[lab.Store]:
    store = lab.Store(folder / "seaproof.db")
    try:
        yield store
    finally:
        store.close()


def test_killed_while_downloading_it_downloads_again_from_scratch(folder: Path) -> None:
    with coordinator(folder, "download", job()):
        until((folder / "hangs").exists, "the coordinator hangs in a download")
    assert step(folder) == "Downloading"

    with next_coordinator(folder) as plane:
        assert recover(plane) == []
        ended = end_of(plane)

        assert ended["TrainingJobStatus"] == "Completed"
        assert json.loads(members(plane, ended["ModelArtifacts"]["S3ModelArtifacts"])["model.json"]) == DATA
        assert secondaries(ended) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]


def test_killed_while_training_the_living_container_is_adopted(folder: Path) -> None:
    with coordinator(folder, "never", job(wait="yes")):
        until((folder / ROOT / "model" / "model.json").exists, "the program has begun")
    assert step(folder) == "Training"

    with next_coordinator(folder) as plane:
        assert recover(plane) == ["training-job-algo-1"]
        (folder / ROOT / "go").touch()
        ended = end_of(plane)

        assert ended["TrainingJobStatus"] == "Completed"
        assert json.loads(members(plane, ended["ModelArtifacts"]["S3ModelArtifacts"])["model.json"]) == DATA
        assert [m["Value"] for m in ended["FinalMetricDataList"]] == [0.5]
        (log,) = (folder / "logs" / "TrainingJobs" / "job").glob("*.log")
        assert log.read_text() == "read 3\nacc=0.5\n"
        assert plane.driver.recover() == []
        assert list((folder / "workloads").iterdir()) == []


def test_a_container_that_ended_while_nobody_looked_counts_with_its_exit(folder: Path) -> None:
    with coordinator(folder, "never", job(wait="yes", exit="7")):
        until((folder / ROOT / "model" / "model.json").exists, "the program has begun")
    (folder / ROOT / "go").touch()

    with next_coordinator(folder) as plane:
        (handle,) = plane.driver.recover()
        until(lambda: plane.driver.wait(handle, 0.1), "the program ended")
        assert recover(plane) == ["training-job-algo-1"]
        ended = end_of(plane)

        assert ended["FailureReason"] == "AlgorithmError: , exit code: 7"
        assert keys(plane, "s3://bucket/out/") == ["s3://bucket/out/job/output/model.tar.gz"]


def test_killed_while_uploading_it_uploads_again(folder: Path) -> None:
    with coordinator(folder, "upload", job()):
        until((folder / "hangs").exists, "the coordinator hangs in an upload")
    assert step(folder) == "Uploading"

    with next_coordinator(folder) as plane:
        recover(plane)
        ended = end_of(plane)

        assert ended["TrainingJobStatus"] == "Completed"
        assert json.loads(members(plane, ended["ModelArtifacts"]["S3ModelArtifacts"])["model.json"]) == DATA
        assert list((folder / "workloads").iterdir()) == []


def test_a_job_that_was_stopping_is_stopped(folder: Path) -> None:
    with coordinator(folder, "never", job(wait="yes")):
        until((folder / ROOT / "model" / "model.json").exists, "the program has begun")

    with next_coordinator(folder) as plane:
        stop_training_job(plane, {"TrainingJobName": "job"})
        assert recover(plane) == ["training-job-algo-1"]
        ended = end_of(plane)

        assert ended["TrainingJobStatus"] == "Stopped"
        assert "model.json" in members(plane, ended["ModelArtifacts"]["S3ModelArtifacts"])
        assert plane.driver.recover() == []


def test_a_container_that_is_lost_fails_its_job(folder: Path) -> None:
    with coordinator(folder, "never", job(wait="yes")):
        until((folder / ROOT / "model" / "model.json").exists, "the program has begun")

    with next_coordinator(folder) as plane:
        for handle in plane.driver.recover():
            plane.driver.stop(handle, 0)
        assert recover(plane) == []
        ended = end_of(plane)

        assert ended["TrainingJobStatus"] == "Failed"
        assert ended["FailureReason"].startswith("InternalServerError: the container of algo-1 was lost")
        assert list((folder / "workloads").iterdir()) == []


def test_a_coordinator_that_ends_in_order_leaves_its_containers_to_the_next(folder: Path) -> None:
    driver = process_driver(folder, folder.parent / "program")
    first = lab.open_plane(folder, driver=driver)
    create_training_job(first, job(wait="yes"))
    until((folder / ROOT / "model" / "model.json").exists, "the program has begun")
    (folder / ROOT / "more").touch()
    first.closing.set()
    until(lambda: not any(t.name.startswith("training job") for t in list(first.threads)), "the job's thread ends")
    status = describe(first)["TrainingJobStatus"]

    with next_coordinator(folder) as plane:
        assert status == "InProgress"
        assert recover(plane) == ["training-job-algo-1"]
        (folder / ROOT / "go").touch()
        assert end_of(plane)["TrainingJobStatus"] == "Completed"
    first.join(5)
    first.store.close()


def test_hosts_of_a_job_reach_one_another_by_name(folder: Path) -> None:
    (folder.parent / "program" / "train.py").write_text("""
import json, os, pathlib, socket, time
base = pathlib.Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml")
told = json.loads((base / "input/config/resourceconfig.json").read_text())
me, port = told["current_host"], int(json.loads((base / "input/config/hyperparameters.json").read_text())["port"])
if me == "algo-1":
    server = socket.create_server((socket.gethostbyname("algo-1"), port))
    peer, _ = server.accept()
    said = peer.recv(100).decode()
    (base / "model" / "heard").write_text(said)
else:
    for _ in range(200):
        try:
            with socket.create_connection(("algo-1", port), timeout=5) as peer:
                peer.sendall(f"hello from {me}".encode())
            break
        except OSError:
            time.sleep(0.05)
    else:
        raise SystemExit("algo-1 was not there")
""")
    port = free_port()

    with next_coordinator(folder) as plane:
        if "not allowed" in plane.driver.check().facts["namespaces"]:
            pytest.skip("without namespaces, no process can have a name of its own for algo-1")
        ended = train(plane, {**job(port=str(port)), "ResourceConfig": {"InstanceType": "m", "InstanceCount": 2}}, 40)

        assert ended["TrainingJobStatus"] == "Completed", (ended, events(plane))
        assert members(plane, ended["ModelArtifacts"]["S3ModelArtifacts"]) == {"heard": b"hello from algo-2"}
