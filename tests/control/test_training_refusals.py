"""What CreateTrainingJob refuses at once, and what a job tells although nothing failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import job_lab as lab
import pytest
from job_lab import request, train

from seaproof.control.plane import Plane
from seaproof.control.training_jobs import create_training_job, list_training_jobs
from seaproof.drivers.fake import Run
from seaproof.drivers.process import ProcessDriver
from seaproof.errors import ServiceError
from seaproof.project import FolderImage


def _leaves_a_model(run: Run) -> None:
    (run.opt_ml / "model" / "weights").write_bytes(b"w")


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    plane = lab.open_plane(tmp_path, {"useful": _leaves_a_model})
    yield plane
    lab.close_plane(plane)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"AlgorithmSpecification": {"MetricDefinitions": [{"Name": "acc", "Regex": 'acc="(["'}]}},
            ["the metric 'acc'", "'acc=\"([\"'", "no regular expression", "unterminated character set"],
        ),
        ({"ResourceConfig": {"InstanceCount": 0}}, ["InstanceCount is 0", "at least 1 instance"]),
        ({"ResourceConfig": {"InstanceCount": None}}, ["InstanceCount is required"]),
    ],
)
def test_a_request_that_cannot_work_is_refused_by_name(plane: Plane, more: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(ServiceError) as caught:
        create_training_job(plane, request(**more))

    assert caught.value.code == "ValidationException"
    assert [text for text in said if text not in caught.value.message] == []
    assert list_training_jobs(plane, {})["TrainingJobSummaries"] == []


@pytest.mark.parametrize(("image", "count"), [("fake:exit=0", 1), ("useful", 0), ("fake:exit=3", 0)])
def test_a_job_that_completes_without_a_model_says_so(plane: Plane, image: str, count: int) -> None:
    job = train(plane, request(image=image))
    told = [e.event["message"] for e in plane.store.events("training-job", "job") if e.event["type"] == "no-model"]

    assert job["TrainingJobStatus"] == ("Failed" if "3" in image else "Completed")
    assert len(told) == count
    assert all("nothing in /opt/ml/model, so there is no model.tar.gz" in text for text in told)


def test_a_job_is_told_once_that_there_are_no_namespaces(tmp_path: Path) -> None:
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "train").write_text("#!/bin/sh\nexit 0\n")
    (folder / "train").chmod(0o755)
    driver = ProcessDriver(tmp_path, {"mine": FolderImage(folder=folder)}, namespaces=False)
    plane = lab.open_plane(tmp_path / "state", driver=driver)
    try:
        train(plane, request(image="mine", ResourceConfig={"InstanceCount": 2}))
        told = [e.event["message"] for e in plane.store.events("training-job", "job") if e.event["type"] == "driver"]

        assert len(told) == 1
        assert "Namespaces are not allowed here" in told[0]
    finally:
        lab.close_plane(plane)
