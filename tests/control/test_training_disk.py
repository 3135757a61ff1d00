"""A full disk, on a small tmpfs: every job ends in a clear status, nothing is half-written and nothing is lost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import job_lab as lab
import pytest
from job_lab import channel, events, keys, members, put, request, train

from seaproof.control import reserve
from seaproof.control.store import Store
from seaproof.drivers.fake import FakeDriver, Program, Run
from seaproof.drivers.process import ProcessDriver
from seaproof.errors import StoreError
from seaproof.project import FolderImage

MIB = 1024 * 1024
Disk = Callable[[Path, int], Path]


@pytest.fixture
def small_disk() -> Iterator[Disk]:
    """Mounts a tmpfs of so many MiB on a folder; needs root."""
    mounted: list[Path] = []

    def mount(folder: Path, mib: int) -> Path:
        folder.mkdir(parents=True)
        if os.geteuid() != 0:
            pytest.skip("only root may mount a tmpfs; CI runs this test")
        command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in reversed(mounted):
        subprocess.run(["umount", "-l", str(folder)], check=True)


def writes(mib: int) -> Callable[[Run], int]:
    def program(run: Run) -> int:
        (run.opt_ml / "model" / "weights").write_bytes(os.urandom(mib * MIB))
        return 0

    return program


def test_a_full_bucket_fails_the_upload_and_keeps_the_model(tmp_path: Path, small_disk: Disk) -> None:
    state = tmp_path / "state"
    bucket = small_disk(state / "s3", 4)
    plane = lab.open_plane(state, {"big": writes(6)})
    try:
        put(plane, "s3://bucket/in/a", b"1")
        job = train(plane, request(image="big", InputDataConfig=[channel("train", "s3://bucket/in/")]))

        kept = state / "workloads" / "training-job-algo-1"
        assert job["TrainingJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("ClientError: Artifact upload failed:")
        assert "full" in job["FailureReason"]
        assert f"Nothing is lost: what was to be saved is kept in {kept}" in job["FailureReason"]
        assert (kept / "model" / "weights").stat().st_size == 6 * MIB
        assert not (kept / "input" / "data").exists()
        assert [p.name for p in kept.parent.iterdir()] == [kept.name]
        assert keys(plane, "s3://bucket/") == ["s3://bucket/in/a"]
        assert sum(f.stat().st_size for f in bucket.rglob("*") if f.is_file()) == 1
    finally:
        lab.close_plane(plane)


def test_a_job_that_failed_already_keeps_its_own_reason(tmp_path: Path, small_disk: Disk) -> None:
    def program(run: Run) -> int:
        writes(6)(run)
        return 9

    small_disk(tmp_path / "state" / "s3", 4)
    plane = lab.open_plane(tmp_path / "state", {"big": program})
    try:
        job = train(plane, request(image="big"))

        assert job["FailureReason"] == "AlgorithmError: , exit code: 9"
        assert any("Nothing is lost" in message for message in events(plane))
        assert (tmp_path / "state/workloads/training-job-algo-1/model/weights").exists()
    finally:
        lab.close_plane(plane)


@pytest.mark.parametrize("left", [0, 1])
def test_a_state_folder_that_is_full_to_the_last_byte_still_gets_the_end_of_the_job(
    left: int, tmp_path: Path, small_disk: Disk
) -> None:
    def program(run: Run) -> int:
        with (run.opt_ml / "model" / "weights").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(os.urandom(65_536))
            except OSError:
                file.truncate(max(0, file.tell() - left * MIB))
        run.log("the disk is full")
        return 0

    state = small_disk(tmp_path / "state", 12)
    # The driver keeps its own files elsewhere, as an engine does.
    driver = FakeDriver(tmp_path / "engine", {"filler": Program(train=program)})
    plane = lab.open_plane(state, driver=driver)
    try:
        put(plane, "s3://bucket/in/a", bytes(2 * MIB))
        job = train(plane, request(image="filler", InputDataConfig=[channel("train", "s3://bucket/in/")]))

        assert job["TrainingJobStatus"] == "Failed"
        assert "Error: " in job["FailureReason"]
        assert (state / "workloads/training-job-algo-1/model/weights").stat().st_size > 4 * MIB
        assert keys(plane, "s3://bucket/") == ["s3://bucket/in/a"]
        assert train(plane, request("next", image="fake:exit=0"))["TrainingJobStatus"] == "Completed"
    finally:
        lab.close_plane(plane)


def test_a_disk_that_fills_while_data_comes_fails_the_job_and_is_free_again(tmp_path: Path, small_disk: Disk) -> None:
    small_disk(tmp_path / "state" / "workloads", 4)
    plane = lab.open_plane(tmp_path / "state", {"small": writes(1)})
    try:
        put(plane, "s3://bucket/in/a", bytes(3 * MIB))
        given = request(InputDataConfig=[channel("train", "s3://bucket/in/")], ResourceConfig={"InstanceCount": 2})
        job = train(plane, given)

        assert job["TrainingJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("ClientError: Data download failed:No space left on device")
        assert list((tmp_path / "state" / "workloads").iterdir()) == []
        after = train(plane, request("after", image="small"))
        assert list(members(plane, after["ModelArtifacts"]["S3ModelArtifacts"])) == ["weights"]
    finally:
        lab.close_plane(plane)


@pytest.mark.parametrize("code", [3, 0])
def test_a_program_that_fills_the_disk_of_the_state_ends_its_job_with_that_reason(
    code: int, tmp_path: Path, small_disk: Disk
) -> None:
    program = tmp_path / "program"
    program.mkdir()
    (program / "train").write_text(
        '#!/bin/sh\nexec 2>/dev/null\nroot="${SAGEMAKER_BASE_DIR:-/opt/ml}"\n'
        f'dd if=/dev/urandom of="$root/model/weights" bs=65536 count=100\nexit {code}\n'
    )
    (program / "train").chmod(0o755)
    state = small_disk(tmp_path / "state", 3)
    plane = lab.open_plane(state, driver=ProcessDriver(state, {"filler": FolderImage(folder=program)}))
    try:
        job = train(plane, request(image="filler"), seconds=15)

        assert job["TrainingJobStatus"] == "Failed"
        if code:
            assert job["FailureReason"] == "AlgorithmError: the disk was full when the program ended, exit code: 3"
        else:
            assert job["FailureReason"].startswith("ClientError: Artifact upload failed:No space left on device")
        assert (state / "workloads/training-job-algo-1/model/weights").stat().st_size > MIB
        # The server still works, in the little room that is left, and so does the one after it.
        plane.store.add_event("any", "thing", "type", "message")
        Store(state / "seaproof.db").close()
    finally:
        lab.close_plane(plane)


@pytest.mark.parametrize("room", [0, 40, 80])
def test_a_command_whose_local_server_finds_no_room_is_told_of_the_disk(
    room: int, tmp_path: Path, small_disk: Disk
) -> None:
    (tmp_path / "seaproof.toml").write_text('[project]\nname = "p"\n')
    disk = small_disk(tmp_path / ".seaproof", 1)
    (disk / "filler").write_bytes(b"x" * (MIB - room * 1024))

    done = subprocess.run(
        [sys.executable, "-m", "seaproof.cli", "up"], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )

    assert done.returncode == 1
    assert re.search(r"KB are free on the disk|database or disk is full", done.stderr), done.stderr
    assert re.search(r"Make room .*and try again", done.stderr)


def test_a_store_on_a_full_disk_says_so_and_writes_again_once_there_is_room(tmp_path: Path, small_disk: Disk) -> None:
    disk = small_disk(tmp_path / "disk", 2)
    store = Store(disk / "x.db")
    try:
        with (disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        store.insert("job", "written into the reserve", "arn", "", {})
        with pytest.raises(StoreError, match="Make room on the disk of") as caught:
            store.insert("job", "much", "arn", "", {"much": "x" * 2 * MIB})
        (disk / "filler").unlink()

        assert "full" in caught.value.what
        assert store.insert("job", "after", "arn", "", {}) is not None
        assert store.get("job", "written into the reserve") is not None
        assert (disk / "x.db.reserve").stat().st_size == reserve.SIZE
    finally:
        store.close()
