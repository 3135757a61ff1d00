"""One chain of C, multi-model-server (Java), the classic container (Flask) and our serving: gateway and endpoint."""

from __future__ import annotations

import io
import json
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from four_makes import a_project, a_trained_tree, build_images
from pipeline_process import pipeline

from seaproof.control import endpoint_configs, endpoints, models
from seaproof.control.plane import Plane
from seaproof.control.store import Store
from seaproof.drivers.choice import open_driver
from seaproof.http.message import Request
from seaproof.invocations.flow import invocation
from seaproof.invocations.send import Sender
from seaproof.project import Project
from seaproof.settings import Settings
from seaproof.storage.local import LocalStorage
from seaproof.storage.storage import Address

DRIVERS = ["process", pytest.param("docker", marks=pytest.mark.docker)]
CHAIN = ("exact", "many", "classic", "ours")
ROLE = "arn:aws:iam::000000000000:role/any"
# Halves of what the classic model knows; the model `double` makes them whole.
ROWS = b"2.55,1.75,0.7,0.1\n3.15,1.65,3.0,1.25\n"
FOUND = b"0\n2\n"


@pytest.fixture(params=DRIVERS)
def kind(request: pytest.FixtureRequest) -> str:
    """The name of a driver that has the four images."""
    if request.param == "docker":
        build_images()
    return str(request.param)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The four programs, a trained model of the classic one in `trained`, those of the Java server in `models`."""
    project = a_project(tmp_path_factory.mktemp("makes") / "project")
    a_trained_tree(project)
    for name, factor in (("double", "2"), ("nothing", "0")):
        (project.root / "models" / name).mkdir(parents=True)
        (project.root / "models" / name / "factor").write_text(factor)
    return project


def _archive(folder: Path) -> io.BytesIO:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for path in folder.iterdir():
            tar.add(path, path.name)
    data.seek(0)
    return data


def test_a_gateway_sends_a_request_through_all_of_them(kind: str, project: Project):
    entries = [{"container": name, "image": f"seaproof-test-{name}"} for name in CHAIN]
    entries[1] |= {"type": "multi", "models": "models"}
    entries[2] |= {"model": "trained/model"}
    (project.root / "containers.json").write_text(json.dumps(entries))
    with pipeline(project.root, "--driver", kind, startup=120) as front:
        found = front.post("?model=double", ROWS, Content_Type="text/csv", Accept="text/csv")
        other = front.post("?model=nothing", ROWS, Content_Type="text/csv", Accept="text/csv")
        trace = json.loads(front.post("?model=double&trace=1", ROWS, Content_Type="text/csv", Accept="text/csv")[1])

    assert found == (200, FOUND), found[1].decode()
    assert other == (200, b"0\n0\n")
    assert [(step["name"], step["status"], step["reply_type"]) for step in trace["steps"]] == [
        ("exact", 200, "text/csv; charset=utf-8"),
        ("many", 200, "text/csv"),
        ("classic", 200, "text/csv; charset=utf-8"),
        ("ours", 200, "text/csv"),
    ]
    assert trace["loads"] == []


def test_an_endpoint_does_so_with_models_from_storage(kind: str, project: Project, tmp_path: Path):
    plane = _plane(tmp_path / "state", project, kind)
    try:
        _deploy(plane, project)
        request = Request(
            "POST",
            "/endpoints/e/invocations",
            headers=[
                (b"x-amzn-sagemaker-target-model", b"double.tar.gz"),
                (b"content-type", b"text/csv"),
                (b"accept", b"text/csv"),
            ],
            body=ROWS,
        )
        response = plane.sender.invoke(invocation(plane.fleets.routes, "e", request, plane.settings))
    finally:
        plane.join(10)
        for handle in plane.driver.recover():
            plane.driver.stop(handle, 0)
        plane.sender.close()
        plane.store.close()

    assert (response.status, response.body) == (200, FOUND)


def _plane(folder: Path, project: Project, kind: str) -> Plane:
    settings = replace(Settings(driver=kind), startup_timeout=120.0, stop_endpoint_grace=2.0)
    return Plane(
        folder=folder,
        settings=settings,
        store=Store(folder / "seaproof.db"),
        storage=LocalStorage(folder / "s3"),
        driver=open_driver(settings, project, folder),
        sender=Sender(),
    )


def _deploy(plane: Plane, project: Project) -> None:
    """The endpoint `e`, in service."""
    for folder in (project.root / "models").iterdir():
        plane.storage.write(Address("bucket", f"models/{folder.name}.tar.gz"), _archive(folder))
    plane.storage.write(Address("bucket", "classic.tar.gz"), _archive(project.root / "trained" / "model"))
    containers = [{"Image": f"seaproof-test-{name}", "ContainerHostname": name} for name in CHAIN]
    containers[1] |= {"Mode": "MultiModel", "ModelDataUrl": "s3://bucket/models/"}
    containers[2] |= {"ModelDataUrl": "s3://bucket/classic.tar.gz"}
    models.create_model(plane, {"ModelName": "m", "ExecutionRoleArn": ROLE, "Containers": containers})
    variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    endpoint_configs.create_endpoint_config(plane, {"EndpointConfigName": "c", "ProductionVariants": [variant]})
    endpoints.create_endpoint(plane, {"EndpointName": "e", "EndpointConfigName": "c"})
    deadline = time.monotonic() + 150
    while (found := endpoints.describe_endpoint(plane, {"EndpointName": "e"}))["EndpointStatus"] == "Creating":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert found["EndpointStatus"] == "InService", found
