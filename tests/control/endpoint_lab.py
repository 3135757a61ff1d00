"""What the tests of endpoints share: a plane on a folder, configurations, requests, and waiting."""

from __future__ import annotations

import io
import itertools
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from seaproof.control import endpoints
from seaproof.control.plane import Plane
from seaproof.control.store import Store
from seaproof.drivers.driver import Driver
from seaproof.drivers.fake import FakeDriver, Program, Run
from seaproof.errors import ServiceError
from seaproof.http.message import Request, Response
from seaproof.invocations.flow import invocation
from seaproof.invocations.send import Sender
from seaproof.settings import Settings
from seaproof.storage.local import LocalStorage

QUICK = Settings(
    startup_timeout=60.0, ping_interval=0.05, ping_failures=3, stop_endpoint_grace=2.0, invocation_timeout=20.0
)
_NUMBERS = itertools.count()
_CONTAINER = ("Image", "Environment", "ModelDataUrl", "ModelDataSource", "ContainerHostname")


def answers_with_its_name(run: Run, request: Request) -> Response:
    return Response(200, [(b"content-type", b"text/plain")], run.environment.get("NAME", "?").encode())


def shows_its_model(run: Run, request: Request) -> Response:
    files = sorted(path.name for path in (run.opt_ml / "model").rglob("*"))
    return Response(200, [], ",".join(files).encode())


def is_open(run: Run) -> int:
    """What /ping says of a container that is ready as soon as there is a file `gate` in the folder of the state."""
    return 200 if gate(run.opt_ml.parents[1]).exists() else 503


def gate(folder: Path) -> Path:
    """The file for which the containers of the image `gated` wait."""
    return folder / "gate"


def echoes(run: Run, request: Request) -> Response:
    return Response(200, [], request.body)


PROGRAMS = {
    "named": Program(serve=answers_with_its_name),
    "shows": Program(serve=shows_its_model),
    "gated": Program(serve=echoes, ping=is_open),
}


def open_plane(folder: Path, settings: Settings = QUICK, driver: Driver | None = None) -> Plane:
    return Plane(
        folder=folder,
        settings=settings,
        store=Store(folder / "seaproof.db"),
        storage=LocalStorage(folder / "s3"),
        driver=driver or FakeDriver(folder, PROGRAMS),
        sender=Sender(),
    )


def close_plane(plane: Plane) -> None:
    plane.join(10)
    for handle in plane.driver.recover():
        plane.driver.stop(handle, 0)
    plane.sender.close()
    plane.store.close()


def poll(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What the condition gives, once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return found


@contextmanager
def load(plane: Plane) -> Iterator[list[bytes]]:
    """Eight clients that invoke the endpoint `e` while the block lasts: what was answered so far. None may fail."""
    over, answered, failed = threading.Event(), list[bytes](), list[Exception]()

    def ask() -> None:
        while not over.is_set():
            try:
                answered.append(invoke(plane).body)
            except Exception as error:
                failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failed == []


def a_config(plane: Plane, *variants: dict[str, Any], **model: Any) -> str:
    """An endpoint configuration with these variants; `Image` and further members of each variant's model."""
    name = f"config-{next(_NUMBERS)}"
    given = []
    for number, variant in enumerate(variants or [{}]):
        members = {"Image": "fake:serve", **model, **variant}
        model_name = f"{name}-model-{number}"
        container = {key: members.pop(key) for key in _CONTAINER if key in members}
        body = {"ModelName": model_name, "PrimaryContainer": container}
        if "Containers" in members:
            body = {"ModelName": model_name, "Containers": members.pop("Containers")}
            body["InferenceExecutionConfig"] = {"Mode": members.pop("ContainersMode", "Serial")}
        plane.store.insert("model", model_name, plane.arn("model", model_name), "", body)
        given.append({"VariantName": f"v{number}", "ModelName": model_name, "InitialInstanceCount": 1, **members})
    plane.store.insert("endpoint-config", name, plane.arn("endpoint-config", name), "", {"ProductionVariants": given})
    return name


def create(plane: Plane, config: str, name: str = "e") -> None:
    endpoints.create_endpoint(plane, {"EndpointName": name, "EndpointConfigName": config})


def describe(plane: Plane, name: str = "e") -> dict[str, Any]:
    return endpoints.describe_endpoint(plane, {"EndpointName": name})


def settle(plane: Plane, name: str = "e", seconds: float = 60.0) -> dict[str, Any]:
    """The description, once the endpoint is in no progress."""
    poll(lambda: describe(plane, name)["EndpointStatus"] not in endpoints.IN_PROGRESS, seconds)
    return describe(plane, name)


def in_service(plane: Plane, config: str, name: str = "e") -> dict[str, Any]:
    create(plane, config, name)
    found = settle(plane, name)
    assert found["EndpointStatus"] == "InService", found
    return found


def invoke(plane: Plane, body: bytes = b"1", name: str = "e", **headers: str) -> Response:
    pairs = [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()]
    request = Request("POST", f"/endpoints/{name}/invocations", headers=pairs, body=body)
    return plane.sender.invoke(invocation(plane.fleets.routes, name, request, plane.settings))


def events(plane: Plane, type: str = "", name: str = "e") -> list[dict[str, Any]]:
    found = [event.event for event in plane.store.events("endpoint", name)]
    return [event for event in found if not type or event["type"] == type]


def statuses(plane: Plane, name: str = "e") -> list[str]:
    return [event["status"] for event in events(plane, "status", name)]


def delete(plane: Plane, name: str = "e") -> None:
    endpoints.delete_endpoint(plane, {"EndpointName": name})
    poll(lambda: plane.store.get("endpoint", name) is None)


def nothing_is_left(plane: Plane) -> bool:
    workloads = plane.folder / "workloads"
    return not plane.driver.recover() and not plane.store.handles() and not list(workloads.glob("*"))


def refusal(operation: Callable[..., Any], plane: Plane, **request: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        operation(plane, request)
    assert caught.value.code == "ValidationException"
    return caught.value


def an_archive(**files: str) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    buffer.seek(0)
    return buffer
