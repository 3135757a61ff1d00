"""Models: what is stored, shown, refused and forgotten."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest

from seaproof.api.operations import run
from seaproof.control.plane import Plane
from seaproof.errors import ServiceError
from seaproof.storage.storage import parse_address

ARN = "arn:aws:sagemaker:us-east-1:000000000000:model/"


def put(plane: Plane, uri: str) -> None:
    plane.storage.write(parse_address(uri), io.BytesIO(b"bytes"))


def create(plane: Plane, name: str = "m", **members: Any) -> dict[str, Any]:
    return run(plane, "CreateModel", {"ModelName": name, **(members or {"PrimaryContainer": {"Image": "i"}})})


def refused(plane: Plane, operation: str, request: dict[str, Any]) -> str:
    with pytest.raises(ServiceError) as caught:
        run(plane, operation, request)
    assert (caught.value.code, caught.value.status) == ("ValidationException", 400)
    return caught.value.message


def test_a_model_is_described_as_it_was_given(plane: Plane) -> None:
    put(plane, "s3://bucket/jobs/model.tar.gz")
    container = {
        "Image": "i",
        "ModelDataUrl": "s3://bucket/jobs/model.tar.gz",
        "Environment": {"A": "1"},
        "ContainerHostname": "h",
        "Mode": "SingleModel",
    }
    role = "arn:aws:iam::000000000000:role/any"
    answer = create(plane, "My-Model", PrimaryContainer=container, ExecutionRoleArn=role, EnableNetworkIsolation=True)
    described = run(plane, "DescribeModel", {"ModelName": "My-Model"})

    assert answer == {"ModelArn": f"{ARN}my-model"}
    assert described.pop("CreationTime") > 1_600_000_000
    assert described == {
        "ModelName": "My-Model",
        "ModelArn": f"{ARN}my-model",
        "PrimaryContainer": container,
        "ExecutionRoleArn": role,
        "EnableNetworkIsolation": True,
    }


def test_absent_structures_are_absent_from_the_answer(plane: Plane) -> None:
    create(plane)

    described = run(plane, "DescribeModel", {"ModelName": "m"})
    assert set(described) == {"ModelName", "ModelArn", "PrimaryContainer", "EnableNetworkIsolation", "CreationTime"}


def test_a_taken_name_is_refused_whatever_its_case(plane: Plane) -> None:
    create(plane, "Model")

    for name in ("Model", "model"):
        message = refused(plane, "CreateModel", {"ModelName": name, "PrimaryContainer": {"Image": "i"}})
        assert message == f'Cannot create already existing model "{ARN}model".'


@pytest.mark.parametrize("operation", ["DescribeModel", "DeleteModel"])
def test_a_missing_model_could_not_be_found(plane: Plane, operation: str) -> None:
    assert refused(plane, operation, {"ModelName": "No-one"}) == f'Could not find model "{ARN}no-one".'


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"Tags": []}, "Specify exactly one of PrimaryContainer and Containers."),
        ({"PrimaryContainer": {"Image": "i"}, "Containers": [{"Image": "i"}]}, "Specify exactly one of"),
        ({"PrimaryContainer": {"Environment": {"A": "1"}}}, "Each container needs an Image."),
        (
            {"Containers": [{"Image": "i", "ContainerHostname": "h"}, {"Image": "j", "ContainerHostname": "h"}]},
            "ContainerHostname must be unique",
        ),
        (
            {"PrimaryContainer": {"Image": "i", "ModelDataUrl": "s3://bucket/none/model.tar.gz"}},
            "Could not find model data at s3://bucket/none/model.tar.gz.",
        ),
        (
            {"PrimaryContainer": {"Image": "i", "ModelDataUrl": "s3://bucket/there"}},
            "Could not find model data at s3://bucket/there.",
        ),
        (
            {"PrimaryContainer": {"Image": "i", "ModelDataUrl": "https://host/model.tar.gz"}},
            "Could not read model data at https://host/model.tar.gz: 'https://host/model.tar.gz' is no s3:// address",
        ),
        (
            {"PrimaryContainer": {"Image": "i", "ModelDataUrl": "s3://bucket/a/../b"}},
            "Could not read model data at s3://bucket/a/../b: this key cannot be kept as a file",
        ),
        (
            {
                "PrimaryContainer": {
                    "Image": "i",
                    "ModelPackageName": "p",
                    "InferenceSpecificationName": "s",
                }
            },
            "CreateModel: PrimaryContainer.InferenceSpecificationName, PrimaryContainer.ModelPackageName.",
        ),
        (
            {"PrimaryContainer": {"Image": "i"}, "Tags": [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}]},
            "Duplicate tag key: 'k'",
        ),
        (
            {"PrimaryContainer": {"Image": "i"}, "Tags": [{"Key": "aws:k", "Value": "1"}]},
            "start with aws: are reserved",
        ),
    ],
)
def test_what_cannot_be_a_model_is_refused_and_not_stored(plane: Plane, members: dict[str, Any], message: str) -> None:
    put(plane, "s3://bucket/there/object")

    assert message in refused(plane, "CreateModel", {"ModelName": "m", **members})
    assert run(plane, "ListModels", {}) == {"Models": []}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"S3Uri": "s3://bucket/folder/", "S3DataType": "S3Prefix", "CompressionType": "None"}, ""),
        ({"S3Uri": "s3://bucket/folder/a", "S3DataType": "S3Object", "CompressionType": "Gzip"}, ""),
        ({"S3Uri": "s3://bucket/fold", "S3DataType": "S3Prefix", "CompressionType": "None"}, "ends with a slash"),
        ({"S3Uri": "s3://bucket/folder/", "S3DataType": "S3Prefix", "CompressionType": "Gzip"}, "CompressionType None"),
        (
            {"S3Uri": "s3://bucket/other/", "S3DataType": "S3Prefix", "CompressionType": "None"},
            "Could not find model data",
        ),
        ({"S3Uri": "s3://bucket/folder/b", "S3DataType": "S3Object", "CompressionType": "None"}, "Could not find"),
    ],
)
def test_a_model_data_source_must_be_there(plane: Plane, source: dict[str, str], message: str) -> None:
    put(plane, "s3://bucket/folder/a")
    request = {"ModelName": "m", "PrimaryContainer": {"Image": "i", "ModelDataSource": {"S3DataSource": source}}}

    if message:
        assert message in refused(plane, "CreateModel", request)
    else:
        assert run(plane, "CreateModel", request)


def test_model_data_of_a_multi_model_is_a_prefix(plane: Plane) -> None:
    put(plane, "s3://bucket/models/a.tar.gz")
    container = {"Image": "i", "Mode": "MultiModel", "ModelDataUrl": "s3://bucket/models/"}

    assert create(plane, PrimaryContainer=container)
    container["ModelDataUrl"] = "s3://bucket/none/"
    assert "Could not find" in refused(plane, "CreateModel", {"ModelName": "n", "PrimaryContainer": container})


def test_ignored_fields_are_shown_and_told(plane: Plane) -> None:
    vpc = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    create(plane, PrimaryContainer={"Image": "i", "ImageConfig": {"RepositoryAccessMode": "Platform"}}, VpcConfig=vpc)
    record = plane.store.get("model", "m")

    assert record is not None
    assert record.body["_ignored"] == ["PrimaryContainer.ImageConfig", "VpcConfig"]
    assert run(plane, "DescribeModel", {"ModelName": "m"})["VpcConfig"] == vpc
    assert [event.event["message"] for event in plane.store.events("model", "m")] == [
        "recorded, without effect here: PrimaryContainer.ImageConfig, VpcConfig"
    ]


def test_models_are_listed_newest_first_and_filtered(plane: Plane) -> None:
    for name in ("a1", "b", "a2"):
        create(plane, name)

    listed = run(plane, "ListModels", {})["Models"]
    assert [model["ModelName"] for model in listed] == ["a2", "b", "a1"]
    assert set(listed[0]) == {"ModelName", "ModelArn", "CreationTime"}
    named = run(plane, "ListModels", {"NameContains": "a", "SortBy": "Name", "SortOrder": "Ascending"})["Models"]
    assert [model["ModelName"] for model in named] == ["a1", "a2"]


def test_a_deleted_model_is_gone_with_its_tags_and_its_name_is_free(plane: Plane) -> None:
    create(plane, PrimaryContainer={"Image": "i"}, Tags=[{"Key": "k", "Value": "v"}])
    assert run(plane, "DeleteModel", {"ModelName": "m"}) == {}
    create(plane)

    assert run(plane, "ListTags", {"ResourceArn": f"{ARN}m"}) == {"Tags": []}


def test_of_two_that_create_one_name_one_wins(plane: Plane) -> None:
    outcomes: list[str] = []
    barrier = threading.Barrier(4)

    def attempt(number: int) -> None:
        barrier.wait()
        tags = [{"Key": "by", "Value": str(number)}]
        try:
            create(plane, PrimaryContainer={"Image": f"i{number}"}, Tags=tags)
            outcomes.append(str(number))
        except ServiceError as error:
            outcomes.append(error.message.split(" model")[0])

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (winner,) = [outcome for outcome in outcomes if len(outcome) == 1]
    assert outcomes.count("Cannot create already existing") == 3
    assert run(plane, "DescribeModel", {"ModelName": "m"})["PrimaryContainer"]["Image"] == f"i{winner}"
    assert run(plane, "ListTags", {"ResourceArn": f"{ARN}m"}) == {"Tags": [{"Key": "by", "Value": winner}]}
