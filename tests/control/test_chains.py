"""Endpoints of several containers on the fake driver: they start, serve, die, are adopted and end together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint_lab import (
    a_config,
    an_archive,
    close_plane,
    create,
    delete,
    describe,
    events,
    in_service,
    invoke,
    nothing_is_left,
    open_plane,
    poll,
    settle,
)

from seaproof.control import logs
from seaproof.control.models import create_model
from seaproof.control.plane import Plane
from seaproof.control.recovery import recover
from seaproof.drivers.fake import FakeDriver, Program, Run
from seaproof.errors import ServiceError
from seaproof.http.message import Request, Response
from seaproof.storage.storage import Address


def adds_its_name(run: Run, request: Request) -> Response:
    """The body and this container's name, and which type and model it was given."""
    kind = request.header(b"content-type") or "none"
    model = ",".join(path.name for path in (run.opt_ml / "model").iterdir())
    body = request.body + f" -{kind}-> {run.environment['NAME']}[{model}]".encode()
    return Response(200, [(b"content-type", f"from/{run.environment['NAME']}".encode())], body)


PROGRAMS = {"adds": Program(serve=adds_its_name)}


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    folder = tmp_path / "state"
    plane = open_plane(folder, driver=FakeDriver(folder, PROGRAMS))
    yield plane
    close_plane(plane)


def adding(name: str, **more: Any) -> dict[str, Any]:
    return {"Image": "adds", "Environment": {"NAME": name}, **more}


def test_a_request_goes_through_all_containers_each_with_its_own_model(plane: Plane):
    plane.storage.write(Address("b", "one.tar.gz"), an_archive(one="1"))
    plane.storage.write(Address("b", "three.tar.gz"), an_archive(three="3"))
    chain = [
        adding("a", ModelDataUrl="s3://b/one.tar.gz"),
        adding("b"),
        adding("c", ModelDataUrl="s3://b/three.tar.gz", ContainerHostname="last"),
    ]

    found = in_service(plane, a_config(plane, {"InitialInstanceCount": 2}, Containers=chain))
    response = invoke(plane, b"x", content_type="text/csv")

    assert response.body == b"x -text/csv-> a[one] -from/a-> b[] -from/b-> c[three]"
    assert response.headers[0] == (b"Content-Type", b"from/c")
    assert len(found["ProductionVariants"][0]["DeployedImages"]) == 3
    assert len(plane.driver.recover()) == 6
    assert events(plane, "started")[0]["message"].endswith("was started: container-1, container-2, last.")
    instance = poll(lambda: events(plane, "ready"))[0]["instance"]
    streams = poll(lambda: (found := logs.streams(plane, "Endpoints", "e")) and len(found) == 6 and found)
    assert {s for s in streams if instance in s} == {
        f"e/v0-{instance}/{name}" for name in ("container-1", "container-2", "last")
    }
    delete(plane)
    assert nothing_is_left(plane)


def test_a_chain_is_in_service_when_its_last_container_is_and_fails_with_the_one_that_does_not(plane: Plane):
    chain = [adding("a"), {"Image": "fake:say=no such file,exit=3,after=0.1"}]
    create(plane, a_config(plane, Containers=chain))

    found = settle(plane)

    assert found["EndpointStatus"] == "Failed"
    assert found["FailureReason"].startswith(
        "The container-2 container for production variant v0 did not pass the ping health check."
    )
    assert "Its container container-2 ended before it answered /ping: exit code 3" in found["FailureReason"]
    assert "no such file" in found["FailureReason"]
    assert nothing_is_left(plane)


def test_an_image_that_is_missing_names_its_container_and_stops_the_others(plane: Plane):
    create(plane, a_config(plane, Containers=[adding("a"), {"Image": "nowhere", "ContainerHostname": "post"}]))

    assert settle(plane)["FailureReason"].startswith(
        "The image of the post container for production variant v0 does not exist here."
    )
    assert nothing_is_left(plane)


def test_an_instance_of_which_one_container_dies_is_replaced_whole(plane: Plane):
    in_service(plane, a_config(plane, Containers=[adding("a"), adding("b")]))
    before = {handle.name for handle in plane.driver.recover()}
    second = next(handle for handle in plane.driver.recover() if handle.name.endswith("-2"))

    plane.driver.stop(second, 0)
    poll(lambda: len(events(plane, "ready")) == 2)

    assert "Its container container-2 ended after it was ready" in events(plane, "died-after-ready")[0]["message"]
    assert not before & {handle.name for handle in plane.driver.recover()}
    assert invoke(plane, b"x").body.endswith(b"b[]")


@pytest.mark.parametrize("lost", [0, 1])
def test_a_chain_is_adopted_whole_or_not_at_all(tmp_path: Path, lost: int):
    folder = tmp_path / "state"
    plane = open_plane(folder, driver=FakeDriver(folder, PROGRAMS))
    in_service(plane, a_config(plane, {"InitialInstanceCount": 2}, Containers=[adding("a"), adding("b")]))
    plane.closing.set()
    before = plane.driver.recover()
    for handle in before[:lost]:
        plane.driver.stop(handle, 0)
    plane.join(10)
    plane.sender.close()
    plane.store.close()

    plane = open_plane(folder, driver=FakeDriver(folder, PROGRAMS))
    recover(plane)
    try:
        assert describe(plane)["EndpointStatus"] == "InService"
        assert invoke(plane, b"x").body.endswith(b"b[]")
        poll(lambda: describe(plane)["ProductionVariants"][0]["CurrentInstanceCount"] == 2)
        assert len(plane.driver.recover()) == 4
        assert len({h.name for h in before} & {h.name for h in plane.driver.recover()}) == 4 - 2 * lost
    finally:
        close_plane(plane)


def test_the_containers_of_a_direct_endpoint_are_asked_one_by_one(plane: Plane):
    chain = [adding("a", ContainerHostname="one"), adding("b", ContainerHostname="two")]
    in_service(plane, a_config(plane, Containers=chain, ContainersMode="Direct"))

    two = invoke(plane, b"x", x_amzn_sagemaker_target_container_hostname="two")
    with pytest.raises(ServiceError, match="missing a target container hostname header") as caught:
        invoke(plane, b"x")

    assert two.body == b"x -none-> b[]"
    assert caught.value.code == "ValidationError"


def refused(plane: Plane, containers: list[dict[str, Any]], mode: str = "Serial") -> str:
    request = {"ModelName": "m", "Containers": containers, "InferenceExecutionConfig": {"Mode": mode}}
    with pytest.raises(ServiceError) as caught:
        create_model(plane, request)
    assert caught.value.code == "ValidationException"
    return caught.value.message


def test_what_cannot_be_a_chain_is_refused_when_the_model_is_created(plane: Plane):
    plane.storage.write(Address("b", "models/a.tar.gz"), an_archive(a="1"))
    multi = {"Image": "i", "Mode": "MultiModel", "ModelDataUrl": "s3://b/models/"}

    assert "At most one of the containers" in refused(plane, [multi, multi])
    assert "missing for container 2." in refused(plane, [adding("a", ContainerHostname="x"), adding("b")], "Direct")
    assert "needs a model with 2 to 15 Containers" in refused(plane, [adding("a", ContainerHostname="x")], "Direct")
    assert "is the name of another container" in refused(
        plane, [adding("a"), adding("b", ContainerHostname="container-1")]
    )
