"""What the tests of transform jobs share: a plane with models that are scripted, requests, and waiting for an end."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jobs import get as get
from jobs import put as put
from jobs import until as until
from jobs import wait_for_end
from seaproof.control.models import create_model
from seaproof.control.plane import Plane
from seaproof.control.store import Store
from seaproof.control.transform_jobs import create_transform_job, describe_transform_job
from seaproof.control.transform_record import KIND
from seaproof.drivers.driver import Driver
from seaproof.drivers.fake import FakeDriver, Program, Run
from seaproof.http.message import Request, Response
from seaproof.invocations.send import Sender
from seaproof.settings import Settings
from seaproof.storage.local import LocalStorage
from seaproof.storage.storage import parse_address

ROLE = "arn:aws:iam::000000000000:role/any"
MIB = 1024 * 1024
Serve = Callable[[Run, Request], Response]


class Asked:
    """What a scripted model was asked, in the order of arrival; `answer` is called for each request of a job."""

    def __init__(
        self, answer: Callable[[bytes], bytes | tuple[int, bytes]] = lambda body: body, parameters: bytes = b""
    ):
        self.answer = answer
        self.parameters = parameters
        self.requests: list[Request] = []
        self.environments: list[dict[str, str]] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    @property
    def bodies(self) -> list[bytes]:
        return [request.body for request in self.requests]

    def __call__(self, run: Run, request: Request) -> Response:
        if request.path == "/execution-parameters":
            return Response(200, [], self.parameters) if self.parameters else Response(404, [], b"")
        with self._lock:
            self.requests.append(request)
            self.environments.append(dict(run.environment))
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            given = self.answer(request.body)
        finally:
            with self._lock:
                self._now -= 1
        status, body = given if isinstance(given, tuple) else (200, given)
        return Response(status, [(b"content-type", b"text/csv")], body)


Lab = tuple[Plane, Asked]


def open_plane(
    folder: Path, models: Mapping[str, Serve] | None = None, driver: Driver | None = None, **knobs: Any
) -> Plane:
    """A plane on `folder/state`; each model is an image of that name, and a model of that name is made of it."""
    state = folder / "state"
    programs = {name: Program(serve=serve) for name, serve in (models or {}).items()}
    plane = Plane(
        folder=state,
        settings=Settings(**{"startup_timeout": 60.0, "ping_interval": 0.1, "stop_endpoint_grace": 1.0, **knobs}),
        store=Store(state / "seaproof.db"),
        storage=LocalStorage(state / "s3"),
        driver=driver or FakeDriver(state, programs),
        sender=Sender(),
    )
    for name in models or {}:
        if plane.store.get("model", name) is None:
            make_model(plane, name, {"Image": name})
    return plane


def close_plane(plane: Plane) -> None:
    plane.join(20)
    for handle in plane.driver.recover():
        plane.driver.stop(handle, 0)
    plane.sender.close()
    plane.store.close()


def make_model(plane: Plane, name: str, *containers: dict[str, Any]) -> None:
    given = {"PrimaryContainer": containers[0]} if len(containers) == 1 else {"Containers": list(containers)}
    create_model(plane, {"ModelName": name, "ExecutionRoleArn": ROLE, **given})


def outputs(plane: Plane, uri: str = "s3://b/out/") -> dict[str, bytes]:
    """What lies in the output, by key below it."""
    prefix = parse_address(uri)
    return {
        found.address.key[len(prefix.key) :]: get(plane, str(found.address)) for found in plane.storage.list(prefix)
    }


def request(model: str, name: str = "job", *, options: Mapping[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """CreateTransformJob over s3://b/in/; `more` goes on top, structures merged, `options` become tags."""
    found: dict[str, Any] = {
        "TransformJobName": name,
        "ModelName": model,
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in/"}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        "TransformOutput": {"S3OutputPath": "s3://b/out", "Accept": "text/csv", "AssembleWith": "Line"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    for key, value in more.items():
        found[key] = {**found.get(key, {}), **value} if isinstance(value, dict) else value
    if options:
        found["Tags"] = [{"Key": f"seaproof:{key}", "Value": value} for key, value in options.items()]
    return found


def describe(plane: Plane, name: str = "job") -> dict[str, Any]:
    return describe_transform_job(plane, {"TransformJobName": name})


def end_of(plane: Plane, name: str = "job", seconds: float = 60) -> dict[str, Any]:
    """The job once it has ended and its thread is done."""
    wait_for_end(plane, KIND, name, seconds)
    return describe(plane, name)


def transform(plane: Plane, given: dict[str, Any], seconds: float = 60) -> dict[str, Any]:
    create_transform_job(plane, given)
    return end_of(plane, given["TransformJobName"], seconds)


def log(plane: Plane, name: str = "job") -> str:
    """The lines of a job's data-log, without their times."""
    path = plane.log_file("TransformJobs", name, "data-log")
    return "".join(line.partition(":[sagemaker logs]: ")[2] for line in path.read_text().splitlines(keepends=True))


def zipped(data: bytes) -> bytes:
    return gzip.compress(data)
