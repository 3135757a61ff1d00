"""Killed between any two writes to the store: the job still ends once, with its model, and nothing runs on.

The kill is played: instead of its n-th write the store of the first coordinator stops every thread that touches it
for ever, so that no `finally` of ours gets anything done, as after SIGKILL. The containers live on, as real ones do.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import job_lab as lab
import pytest
from job_lab import channel, end_of, keys, put, request, until

from seaproof.control.plane import Plane
from seaproof.control.store import Record, Store
from seaproof.control.training_jobs import create_training_job, recover_training_jobs, stop_training_job
from seaproof.drivers.fake import FakeDriver, Program, Run

NEVER = 200


class MortalStore(Store):
    """A store whose process dies where it would write once more than `left`."""

    def __init__(self, path: Path) -> None:
        self.left = NEVER
        self.dead = threading.Event()
        super().__init__(path)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        if self._connection().in_transaction:
            with super().transaction() as db:
                yield db
            return
        if self.left <= 0:
            self.dead.set()
        self._stand_still_if_dead()
        with super().transaction() as db:
            before = db.total_changes
            yield db
            self.left -= db.total_changes != before

    def get(self, kind: str, name: str) -> Record | None:
        self._stand_still_if_dead()
        return super().get(kind, name)

    def _stand_still_if_dead(self) -> None:
        if self.dead.is_set():
            threading.Event().wait()


def job(**more: Any) -> dict[str, Any]:
    return request(
        image="program",
        InputDataConfig=[channel("train", "s3://bucket/in/")],
        OutputDataConfig={"CompressionType": "NONE"},
        **more,
    )


def mortal_plane(folder: Path, driver: FakeDriver) -> tuple[Plane, MortalStore]:
    plane = lab.open_plane(folder, driver=driver)
    plane.store.close()
    store = MortalStore(folder / "seaproof.db")
    put(plane, "s3://bucket/in/a", b"data")
    return replace(plane, store=store), store


def has_died(plane: Plane, store: MortalStore) -> bool:
    """Wait until the coordinator is dead; False where the job was over before."""

    def is_over() -> bool:
        return not any(thread.name.startswith("training job") for thread in list(plane.threads))

    until(lambda: store.dead.is_set() or is_over(), "the coordinator is dead")
    plane.closing.set()
    return store.dead.is_set()


@pytest.mark.parametrize("hosts", [1, 2])
def test_a_job_survives_a_kill_at_every_write(hosts: int, tmp_path: Path) -> None:
    started: list[str] = []

    def program(run: Run) -> int:
        started.append(str(run.workload.hostname))
        text = (run.opt_ml / "input/data/train/a").read_text()
        (run.opt_ml / "model" / f"model-{run.workload.hostname}").write_text(text)
        return 0

    kills = 0
    for writes in range(NEVER):
        started.clear()
        folder = tmp_path / str(writes)
        driver = FakeDriver(folder, {"program": Program(train=program)})
        first, store = mortal_plane(folder, driver)
        store.left = 1 + writes  # the first one is that of create
        create_training_job(first, job(ResourceConfig={"InstanceCount": hosts}))
        if not has_died(first, store):
            store.close()
            break
        kills += 1
        plane = lab.open_plane(folder, driver=driver)
        adopted = recover_training_jobs(plane, driver.recover())
        ended = end_of(plane)

        names = [f"algo-{number}" for number in range(1, hosts + 1)]
        assert ended["TrainingJobStatus"] == "Completed", (writes, ended)
        assert sorted(started) == names, f"each container runs once, also when killed at write {writes}"
        assert len(adopted) <= hosts
        folder_of = "s3://bucket/out/job/output/model/model-"
        assert keys(plane, "s3://bucket/out/") == [f"{folder_of}{name}" for name in names]
        assert driver.recover() == []
        assert list((folder / "workloads").iterdir()) == []
        lab.close_plane(plane)

    assert kills > 10


def test_a_stopped_job_stays_stopped_after_a_kill_at_every_write(tmp_path: Path) -> None:
    def program(run: Run) -> int:
        stopped = run.trap()
        (run.opt_ml / "model" / "last").write_text("m")
        stopped.wait(20)
        return 0

    for writes in range(8):
        folder = tmp_path / str(writes)
        driver = FakeDriver(folder, {"program": Program(train=program)})
        first, store = mortal_plane(folder, driver)
        create_training_job(first, job())
        until((folder / "workloads/training-job-algo-1/model/last").exists, "the program runs")
        stop_training_job(first, {"TrainingJobName": "job"})
        store.left = writes
        has_died(first, store)

        second = lab.open_plane(folder, driver=driver, stop_job_grace=10.0)
        recover_training_jobs(second, driver.recover())
        ended = end_of(second)

        assert ended["TrainingJobStatus"] == "Stopped", (writes, ended)
        assert keys(second, "s3://bucket/out/") == ["s3://bucket/out/job/output/model/last"]
        assert driver.recover() == []
        lab.close_plane(second)
