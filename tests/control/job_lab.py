"""What the tests of training jobs share: a plane on a folder, requests, and waiting for an end."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from jobs import get as get
from jobs import put as put
from jobs import until as until
from jobs import wait_for_end
from seaproof.control.plane import Plane
from seaproof.control.store import Store
from seaproof.control.training_jobs import create_training_job, describe_training_job
from seaproof.control.training_status import KIND
from seaproof.drivers.driver import Driver
from seaproof.drivers.fake import FakeDriver, Program, Run
from seaproof.invocations.send import Sender
from seaproof.settings import Settings
from seaproof.storage.local import LocalStorage
from seaproof.storage.storage import parse_address

ROLE = "arn:aws:iam::000000000000:role/anyone"
Opener = Callable[..., Plane]
"""As `open_plane`, on the test's own folder."""


def open_plane(
    folder: Path,
    programs: Mapping[str, Callable[[Run], int | None]] | None = None,
    *,
    driver: Driver | None = None,
    **knobs: Any,
) -> Plane:
    """A plane on `folder`, with a fake driver that plays these training programs by image name."""
    return Plane(
        folder=folder,
        settings=Settings(**{"stop_job_grace": 0.5, **knobs}),
        store=Store(folder / "seaproof.db"),
        storage=LocalStorage(folder / "s3"),
        driver=driver or FakeDriver(folder, {name: Program(train=train) for name, train in (programs or {}).items()}),
        sender=cast(Sender, None),
    )


def close_plane(plane: Plane) -> None:
    plane.join(20)
    left = [thread.name for thread in plane.threads]
    for handle in plane.driver.recover():
        plane.driver.stop(handle, 0)
    plane.store.close()
    assert left == []


def request(name: str = "job", image: str = "fake:exit=0", **more: Any) -> dict[str, Any]:
    """A CreateTrainingJob request; `more` goes on top of it, structures merged."""
    result: dict[str, Any] = {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out/"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }
    for key, value in more.items():
        result[key] = {**result.get(key, {}), **value} if isinstance(value, dict) else value
    return result


def channel(name: str, uri: str, **source: Any) -> dict[str, Any]:
    more = {key: source.pop(key) for key in ("InputMode", "ContentType", "ShuffleConfig") if key in source}
    data = {"S3DataType": "S3Prefix", "S3Uri": uri, **source}
    return {"ChannelName": name, "DataSource": {"S3DataSource": data}, **more}


def keys(plane: Plane, uri: str) -> list[str]:
    return [str(found.address) for found in plane.storage.list(parse_address(uri))]


def members(plane: Plane, uri: str) -> dict[str, bytes]:
    """The files of an archive in the store."""
    with tarfile.open(fileobj=io.BytesIO(get(plane, uri))) as tar:
        return {m.name: cast(Any, tar.extractfile(m)).read() for m in tar if m.isreg()}


def describe(plane: Plane, name: str = "job") -> dict[str, Any]:
    return describe_training_job(plane, {"TrainingJobName": name})


def end_of(plane: Plane, name: str = "job", seconds: float = 60) -> dict[str, Any]:
    """The job once it has ended and its thread is done."""
    wait_for_end(plane, KIND, name, seconds)
    return describe(plane, name)


def train(plane: Plane, given: dict[str, Any], seconds: float = 60) -> dict[str, Any]:
    create_training_job(plane, given)
    return end_of(plane, given["TrainingJobName"], seconds)


def secondaries(job: dict[str, Any]) -> list[str]:
    return [transition["Status"] for transition in job["SecondaryStatusTransitions"]]


def events(plane: Plane, name: str = "job") -> list[str]:
    return [event.event["message"] for event in plane.store.events("training-job", name)]
