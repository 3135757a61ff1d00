"""Serverless variants with boto3: throttled at MaxConcurrency, held to their own limits, changed while they run."""

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from runtime_lab import ROLE, a_lab, order, until

MIB = 1024 * 1024
SERVERLESS = {"MemorySizeInMB": 2048, "MaxConcurrency": 2}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with a_lab(tmp_path_factory.mktemp("serverless")) as lab:
        yield lab


def ask(lab, endpoint, body=b"1", **more):
    answer = lab.aws("sagemaker-runtime", max_pool_connections=8).invoke_endpoint(
        EndpointName=endpoint, Body=body, **more
    )
    return answer["Body"].read()


def log(lab, endpoint):
    names = lab.client.log_streams("Endpoints", endpoint)
    return "".join(lab.client.logs("Endpoints", name, 0)[0].decode() for name in names)


def test_more_than_max_concurrency_at_once_is_throttled(lab, tmp_path):
    endpoint, go = lab.deploy({"ServerlessConfig": {**SERVERLESS, "ProvisionedConcurrency": 1}}), tmp_path / "go"
    sagemaker = lab.aws("sagemaker")
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(ask, lab, endpoint, order(until=str(go), answer="held")) for _ in range(2)]
        until(lambda: log(lab, endpoint).count("asked") == 2)
        with pytest.raises(ClientError) as caught:
            ask(lab, endpoint)
        described = sagemaker.describe_endpoint(EndpointName=endpoint)["ProductionVariants"]
        change = {"VariantName": "AllTraffic", "ServerlessUpdateConfig": {"MaxConcurrency": 3}}
        sagemaker.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=[change])
        third = ask(lab, endpoint)
        go.touch()

    assert caught.value.response["Error"]["Code"] == "ThrottlingException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert "works on 2 requests at once" in caught.value.response["Error"]["Message"]
    assert [one.result() for one in held] == [b"held", b"held"]
    assert third == b"1"
    assert described[0]["CurrentServerlessConfig"] == {**SERVERLESS, "ProvisionedConcurrency": 1}
    assert "CurrentInstanceCount" not in described[0]
    after = lab.settle(endpoint)["ProductionVariants"][0]["CurrentServerlessConfig"]
    assert after == {"MemorySizeInMB": 2048, "MaxConcurrency": 3, "ProvisionedConcurrency": 1}


def test_bodies_are_held_to_four_megabytes(lab):
    endpoint = lab.deploy({"ServerlessConfig": SERVERLESS})
    most = b"x" * (4 * 1024 * 1024)

    with pytest.raises(ClientError, match="has oversize body"):
        ask(lab, endpoint, most + b"x")
    assert ask(lab, endpoint, most, ContentType="x/y") == most


def test_a_container_that_takes_more_than_its_memory_is_killed_and_started_again(lab):
    endpoint = lab.deploy({"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}})
    first = json.loads(ask(lab, endpoint, order(take=300 * MIB)))["me"]
    with pytest.raises(ClientError) as caught:
        ask(lab, endpoint, order(take=1100 * MIB, sleep=20))

    def again():
        with contextlib.suppress(ClientError):
            return json.loads(ask(lab, endpoint, order()))["me"]

    second = until(again)
    events = [event["message"] for event in lab.client.events("endpoint", endpoint)]

    assert caught.value.response["Error"]["Code"] == "ModelError"
    assert second != first
    assert [event for event in events if "memory" in event], events


@pytest.mark.parametrize(
    ("variants", "more", "message"),
    [
        ([{"ServerlessConfig": SERVERLESS, "InstanceType": "ml.m5.large"}], {}, "give one of the two"),
        ([{"ServerlessConfig": {**SERVERLESS, "MemorySizeInMB": 1500}}], {}, "MemorySizeInMB is 1500"),
        ([{"ServerlessConfig": {**SERVERLESS, "ProvisionedConcurrency": 3}}], {}, "is over MaxConcurrency"),
        ([{"VariantName": "a", "ServerlessConfig": SERVERLESS}, {"VariantName": "b"}], {}, "one production variant"),
        (
            [{"ServerlessConfig": SERVERLESS}],
            {"AsyncInferenceConfig": {"OutputConfig": {}}},
            "AsyncInferenceConfig is not supported for serverless endpoints",
        ),
    ],
)
def test_what_a_serverless_endpoint_cannot_have_is_refused(lab, variants, more, message):
    with pytest.raises(ClientError, match=message):
        lab.config(*variants, **more)


def test_a_model_of_several_containers_cannot_be_serverless(lab):
    sagemaker = lab.aws("sagemaker")
    sagemaker.create_model(ModelName="chain", ExecutionRoleArn=ROLE, Containers=[{"Image": "obedient"}] * 2)
    variant = {"VariantName": "v", "ModelName": "chain", "ServerlessConfig": SERVERLESS}
    sagemaker.create_endpoint_config(EndpointConfigName="chain", ProductionVariants=[variant])

    with pytest.raises(ClientError, match="has several containers, which serverless endpoints do not support"):
        sagemaker.create_endpoint(EndpointName="chain", EndpointConfigName="chain")
