"""Multi-model endpoints with real containers: thousands of requests, containers and coordinators that are killed."""

from __future__ import annotations

import asyncio
import csv
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from endpoint_lab import (
    QUICK,
    an_archive,
    close_plane,
    create,
    delete,
    events,
    nothing_is_left,
    open_plane,
    poll,
    settle,
)

from seaproof.control import endpoint_configs, endpoints, models, multi_model
from seaproof.control.plane import Plane
from seaproof.control.recovery import recover
from seaproof.drivers.fake import FakeDriver
from seaproof.drivers.process import ProcessDriver
from seaproof.errors import ServiceError
from seaproof.http.message import Request
from seaproof.invocations import send
from seaproof.invocations.flow import invocation
from seaproof.project import FolderImage
from seaproof.storage.storage import Address

CONTAINER = Path(__file__).parent.parent / "invocations" / "model_container.py"
ROLE = "arn:aws:iam::000000000000:role/any"


def a_driver(folder: Path) -> ProcessDriver:
    program = folder / "program"
    program.mkdir(parents=True, exist_ok=True)
    (program / "server.py").write_text(CONTAINER.read_text(encoding="utf-8"), encoding="utf-8")
    image = FolderImage(program, serve=(sys.executable, "server.py", "serve"), accept_bind_to_port=True)
    return ProcessDriver(folder / "state", {"many": image})


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    settings = replace(QUICK, ping_interval=0.3, model_trace=True)
    plane = open_plane(tmp_path / "state", settings, a_driver(tmp_path))
    yield plane
    close_plane(plane)


def put(plane: Plane, *targets: str) -> None:
    for target in targets:
        plane.storage.write(Address("bucket", f"models/{target}"), an_archive(weights=target))


def a_config(plane: Plane, at_most: int = 1000, count: int = 1, **container: Any) -> str:
    name = f"many-{at_most}-{count}"
    given = {
        "Image": "many",
        "Mode": "MultiModel",
        "ModelDataUrl": "s3://bucket/models/",
        "Environment": {"MODELS_AT_MOST": str(at_most)},
        **container,
    }
    models.create_model(plane, {"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": given})
    variant = {"VariantName": "v0", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": count}
    request = {"EndpointConfigName": name, "ProductionVariants": [variant]}
    endpoint_configs.create_endpoint_config(plane, request)
    return name


def in_service(plane: Plane, config: str) -> None:
    create(plane, config)
    found = settle(plane)
    assert found["EndpointStatus"] == "InService", found


def steps(plane: Plane, target: str, body: bytes = b"1") -> Any:
    headers = [(b"x-amzn-sagemaker-target-model", target.encode())] if target else []
    request = Request("POST", "/endpoints/e/invocations", headers=headers, body=body)
    return invocation(plane.fleets.routes, "e", request, plane.settings)


def ask(plane: Plane, target: str, body: bytes = b"1") -> str:
    return plane.sender.invoke(steps(plane, target, body)).body.decode()


def clients(plane: Plane, requests: list[str], count: int) -> dict[str, list[str]]:
    """So many clients share these requests out; for each answer or error code, the targets that got it."""
    found: dict[str, list[str]] = {}

    async def one(client: Any, queue: Iterator[str]) -> None:
        for target in queue:
            try:
                body = (await send.invoke(client, steps(plane, target))).body.decode()
                kind = "right" if body == f"{target}:1:{target}" else f"wrong: {body}"
            except ServiceError as error:
                kind = error.code
            found.setdefault(kind, []).append(target)

    async def run(client: Any) -> None:
        queue = iter(requests)
        await asyncio.gather(*(one(client, queue) for _ in range(count)))

    plane.sender.run(run)
    return found


def zipf(targets: list[str], count: int, seed: int = 7) -> list[str]:
    weights = [1 / (rank + 1) for rank in range(len(targets))]
    return random.Random(seed).choices(targets, weights, k=count)


def test_a_thousand_models_with_room_for_fifty_answer_64_clients_without_one_wrong_or_lost(plane: Plane):
    targets = [f"m{number}" for number in range(1000)]
    put(plane, *targets)
    in_service(plane, a_config(plane, at_most=50))
    requests = zipf(targets, 3000)

    found = clients(plane, requests, 64)

    assert {kind: len(of) for kind, of in found.items()} == {"right": len(requests)}
    rows = multi_model.listing(plane)
    loads, evictions = (sum(row[name] for row in rows) for name in ("loads", "evictions"))
    assert sum(row["invocations"] for row in rows) == len(requests)
    assert loads > evictions > 500
    assert sum(bool(row["loaded"]) for row in rows) == loads - evictions == 50
    assert rows[0]["model"] == "m0"
    assert {row["memory"] for row in rows if row["loaded"]} == {4096}
    with (plane.folder / "traces" / "e.csv").open(newline="") as file:
        trace = list(csv.DictReader(file))
    assert sorted(line["model"] for line in trace) == sorted(requests)
    assert {line["bytes"] for line in trace} == {str(size) for size in {len(target) for target in requests}}


def test_a_container_killed_in_the_middle_is_replaced_and_its_models_loaded_again(plane: Plane):
    targets = [f"m{number}" for number in range(30)]
    put(plane, *targets)
    in_service(plane, a_config(plane, at_most=10))
    ask(plane, "m0")

    with pytest.raises(ServiceError) as caught:
        ask(plane, "m0", b"die")
    poll(lambda: len(events(plane, "ready")) == 2)
    found = clients(plane, zipf(targets, 300), 16)

    assert caught.value.code == "ModelError"
    assert list(found) == ["right"]
    delete(plane)
    assert nothing_is_left(plane)


def test_no_request_is_without_an_answer_while_a_container_is_killed_under_load(plane: Plane):
    targets = [f"m{number}" for number in range(40)]
    put(plane, *targets)
    in_service(plane, a_config(plane, at_most=10, count=2))
    requests = zipf(targets, 600)
    victim = plane.driver.recover()[0]
    killer = plane.spawn("killer", lambda: (time.sleep(0.2), os.kill(int(victim.id.split(":")[0]), signal.SIGKILL)))

    found = clients(plane, requests, 16)
    killer.join()

    counts = {kind: len(of) for kind, of in found.items()}
    assert sum(counts.values()) == len(requests)
    assert set(counts) <= {"right", "ModelError", "ServiceUnavailable"}
    assert counts["right"] > len(requests) / 2


def test_a_new_coordinator_serves_the_models_on_without_a_restart_of_the_container(tmp_path: Path):
    plane = open_plane(tmp_path / "state", QUICK, a_driver(tmp_path))
    put(plane, "a", "b", "c")
    in_service(plane, a_config(plane, at_most=2))
    ask(plane, "a")
    ask(plane, "b")
    plane.join(10)
    plane.sender.close()
    plane.store.close()

    plane = open_plane(tmp_path / "state", QUICK, a_driver(tmp_path))
    try:
        recover(plane)
        poll(lambda: plane.fleets.of("e").count("v0"))
        answers = [ask(plane, target) for target in ("c", "a", "b")]
        assert answers == ["c:1:c", "a:1:a", "b:1:b"]
        assert len(events(plane, "started")) == 1
    finally:
        close_plane(plane)


def test_models_that_do_not_stay_are_loaded_for_each_call(plane: Plane):
    put(plane, "a")
    in_service(plane, a_config(plane, MultiModelConfig={"ModelCacheSetting": "Disabled"}))

    for _ in range(3):
        assert ask(plane, "a") == "a:1:a"
        poll(lambda: not multi_model.listing(plane)[0]["loaded"])

    assert multi_model.listing(plane)[0]["loads"] == 3


def test_a_warm_model_answers_within_a_tenth_of_a_millisecond_of_a_plain_container(plane: Plane):
    """The median of what the model adds: taking and giving back a lease, one more header, a longer path."""
    put(plane, "a")
    in_service(plane, a_config(plane))
    ask(plane, "a")
    loader = plane.fleets.routes.get("e").variants[0].instances[0].containers[0].models  # type: ignore[union-attr]
    times = []
    for _ in range(2000):
        began = time.perf_counter()
        model = loader.enter("a")  # type: ignore[union-attr]
        assert model.ready.done()
        assert model.ready.result().error is None
        loader.used(model, hit=True)  # type: ignore[union-attr]
        loader.leave(model)  # type: ignore[union-attr]
        times.append(time.perf_counter() - began)

    assert sorted(times)[1000] < 0.0001


@pytest.mark.parametrize(
    ("container", "why"),
    [
        ({"ModelDataUrl": ""}, "needs ModelDataUrl"),
        ({"ModelDataUrl": "s3://bucket/none/"}, "Could not find model data"),
        (
            {
                "ModelDataUrl": "",
                "ModelDataSource": {
                    "S3DataSource": {"S3Uri": "s3://bucket/m/", "S3DataType": "S3Prefix", "CompressionType": "None"}
                },
            },
            "ModelDataSource is not supported with Mode MultiModel",
        ),
        (
            {"Mode": "SingleModel", "MultiModelConfig": {"ModelCacheSetting": "Disabled"}},
            "MultiModelConfig is for containers with Mode MultiModel",
        ),
    ],
)
def test_what_is_no_multi_model_container_is_refused(tmp_path: Path, container: dict[str, Any], why: str):
    plane = open_plane(tmp_path, driver=FakeDriver(tmp_path))
    put(plane, "a")
    try:
        with pytest.raises(ServiceError, match=why):
            a_config(plane, **container)
    finally:
        close_plane(plane)


def test_a_plain_endpoint_refuses_a_target_model(tmp_path: Path):
    plane = open_plane(tmp_path, driver=FakeDriver(tmp_path))
    try:
        put(plane, "model.tar.gz")
        a_config(plane, Image="fake:serve", Mode="SingleModel", ModelDataUrl="s3://bucket/models/model.tar.gz")
        endpoints.create_endpoint(plane, {"EndpointName": "e", "EndpointConfigName": "many-1000-1"})
        settle(plane)
        with pytest.raises(ServiceError, match="is not a multi-model endpoint") as caught:
            ask(plane, "a")
        assert (caught.value.code, caught.value.status) == ("ValidationError", 400)
    finally:
        close_plane(plane)
