"""The application on a real port of this process, with boto3 and both clients of ours before it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from seaproof.api.app import Application
from seaproof.api.client import Client
from seaproof.api.in_process import InProcess
from seaproof.control.plane import Plane
from seaproof.drivers.driver import Workload
from seaproof.errors import ServiceError
from seaproof.http.server import serve
from seaproof.invocations.routing import Container, Instance, Routing, Variant

ARN = "arn:aws:sagemaker:us-east-1:000000000000:"


@pytest.fixture
def url(plane: Plane) -> Iterator[str]:
    """The address of an application that serves the plane from a thread of its own."""
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = []

    async def main() -> None:
        ended = asyncio.Event()
        app = Application(plane, "http://test", ended.set)
        server = await serve(app.handle, host="127.0.0.1", port=0)
        started.append((asyncio.get_running_loop(), ended, server.port))
        await ended.wait()
        await server.close(1.0)
        await app.close()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    deadline = time.monotonic() + 10
    while not started:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    loop, ended, port = started[0]
    yield f"http://127.0.0.1:{port}"
    loop.call_soon_threadsafe(ended.set)
    thread.join()


def aws(url: str, service: str = "sagemaker") -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"max_attempts": 1}, parameter_validation=False),
    )


def test_one_that_is_ending_lets_no_command_rely_on_it(plane: Plane) -> None:
    def hold_twice(app: Application, url: str) -> None:
        with Client(url) as client:
            with client.hold():
                app.end()
            with pytest.raises(ServiceError, match="is ending"):
                client.hold()

    async def main() -> None:
        app = Application(plane, "http://test", lambda: None)
        server = await serve(app.handle, host="127.0.0.1", port=0)
        await asyncio.to_thread(hold_twice, app, f"http://127.0.0.1:{server.port}")
        await server.close(1.0)
        await app.close()

    asyncio.run(main())


def test_boto3_creates_describes_lists_tags_and_deletes(url: str) -> None:
    sagemaker = aws(url)
    arn = sagemaker.create_model(ModelName="M", PrimaryContainer={"Image": "i"}, Tags=[{"Key": "k", "Value": "ü"}])[
        "ModelArn"
    ]
    described = sagemaker.describe_model(ModelName="M")
    variant = {"VariantName": "v", "ModelName": "M", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="C", ProductionVariants=[variant])
    config = sagemaker.describe_endpoint_config(EndpointConfigName="C")

    assert arn == f"{ARN}model/m"
    assert abs((datetime.now(timezone.utc) - described["CreationTime"]).total_seconds()) < 60
    assert described["ResponseMetadata"]["RequestId"]
    assert config["ProductionVariants"] == [{**variant, "InitialVariantWeight": 1.0}]
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "k", "Value": "ü"}]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "l", "Value": ""}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["k"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "l", "Value": ""}]
    assert [c["EndpointConfigName"] for c in sagemaker.list_endpoint_configs()["EndpointConfigs"]] == ["C"]
    sagemaker.delete_endpoint_config(EndpointConfigName="C")
    sagemaker.delete_model(ModelName="M")
    assert sagemaker.list_models()["Models"] == []


def test_boto3_pages_through_lists_with_filters_of_time(url: str, plane: Plane) -> None:
    sagemaker = aws(url)
    for number in range(23):
        sagemaker.create_model(ModelName=f"m{number:02}", PrimaryContainer={"Image": "i"})
    paginator = sagemaker.get_paginator("list_models")
    names = [
        m["ModelName"] for page in paginator.paginate(SortBy="Name", SortOrder="Ascending") for m in page["Models"]
    ]
    sizes = [len(page["Models"]) for page in paginator.paginate(PaginationConfig={"PageSize": 7})]
    middle = sagemaker.describe_model(ModelName="m10")["CreationTime"]
    later = [m for page in paginator.paginate(CreationTimeAfter=middle) for m in page["Models"]]

    assert names == [f"m{number:02}" for number in range(23)]
    assert sizes == [7, 7, 7, 2]
    assert 12 <= len(later) <= 13
    with pytest.raises(ClientError, match="Invalid NextToken"):
        sagemaker.list_models(NextToken="forged")


@pytest.mark.parametrize(
    ("call", "arguments", "code", "status", "message"),
    [
        ("create_model", {"ModelName": "bad_name!"}, "ValidationException", 400, "1 validation error detected: Value"),
        ("create_model", {}, "ValidationException", 400, "Value null at 'modelName'"),
        ("describe_model", {"ModelName": "none"}, "ValidationException", 400, "Could not find model"),
        ("create_model", {"ModelName": "m"}, "ValidationException", 400, "exactly one of PrimaryContainer"),
        ("list_feature_groups", {}, "UnknownOperationException", 501, "does not have the operation ListFeatureGroups"),
        ("list_tags", {"ResourceArn": f"{ARN}model/x"}, "ValidationException", 400, "Could not find resource"),
    ],
)
def test_errors_reach_boto3_with_code_status_and_message(
    url: str, call: str, arguments: dict[str, Any], code: str, status: int, message: str
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(aws(url), call)(**arguments)
    response = caught.value.response

    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    assert message in response["Error"]["Message"]


def test_a_mistake_of_ours_is_an_internal_failure_and_the_server_lives(
    url: str, plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    plane.store.insert("model", "broken", f"{ARN}model/broken", "", {"PrimaryContainer": "no structure"})

    with Client(url) as client:
        with pytest.raises(ServiceError, match="seaproof failed on DescribeModel") as caught:
            client.call("DescribeModel", {"ModelName": "broken"})
        assert client.call("ListTags", {"ResourceArn": f"{ARN}model/broken"}) == {"Tags": []}

    assert (caught.value.code, caught.value.status) == ("InternalFailure", 500)
    assert "DescribeModel failed" in caplog.text


@pytest.fixture(params=["http", "in process"])
def client(request: pytest.FixtureRequest, url: str, plane: Plane) -> Iterator[Client | InProcess]:
    if request.param == "in process":
        yield InProcess(plane)
        return
    with Client(url) as client:
        yield client


def test_both_clients_of_ours_answer_alike(client: Client | InProcess, plane: Plane) -> None:
    before = datetime.now(timezone.utc)
    for number in range(12):
        client.call("CreateModel", {"ModelName": f"m{number}", "PrimaryContainer": {"Image": "i"}})
    log = plane.log_file("TrainingJobs", "job", "algo-1-1700000000")
    log.parent.mkdir(parents=True)
    log.write_bytes(b"first\nsecond\n")
    plane.store.add_event("model", "m1", "Seen", "it was seen")

    assert len(client.pages("ListModels", {"CreationTimeAfter": before}, "Models")) == 12
    with pytest.raises(ServiceError, match="Could not find model") as caught:
        client.call("DescribeModel", {"ModelName": "none"})
    assert caught.value.code == "ValidationException"
    assert client.log_streams("TrainingJobs", "job") == ["job/algo-1-1700000000"]
    assert client.logs("TrainingJobs", "job/algo-1-1700000000", 6) == (b"second\n", 13)
    with pytest.raises(ServiceError, match="no log stream"):
        client.logs("TrainingJobs", "../../seaproof", 0)
    assert [(event["type"], event["message"]) for event in client.events("model", "m1")] == [("Seen", "it was seen")]
    with pytest.raises(ServiceError, match="not found") as missing:
        client.invoke("nobody", b"1")
    assert missing.value.code == "ValidationError"


def test_both_clients_of_ours_invoke_a_container(client: Client | InProcess, plane: Plane) -> None:
    workload = Workload("w", "fake:serve", plane.opt_ml("w"), arguments=("serve",), port=8080)
    handle = plane.driver.start(workload)
    assert handle.host
    assert handle.port
    deadline = time.monotonic() + 10
    while not plane.sender.ping(handle.host, handle.port, 2).healthy:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    instance = Instance("i-1", (Container("primary", handle.host, handle.port),))
    plane.fleets.routes.publish(Routing("e", (Variant("v", 1.0, (instance,)),)))
    answer = client.invoke("e", b"1,2", content_type="text/csv", accept="text/csv", custom_attributes="a=b")

    assert (answer.body, answer.variant) == (b"1,2", "v")
    with pytest.raises(ServiceError) as caught:
        client.invoke("e", b"1", target_variant="other")
    assert caught.value.code == "ValidationError"
    plane.driver.stop(handle, 0)
