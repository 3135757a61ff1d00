"""Endpoint configurations: what is stored, shown, refused and forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from seaproof.api.operations import run
from seaproof.control.plane import Plane
from seaproof.errors import ServiceError

ARN = "arn:aws:sagemaker:us-east-1:000000000000:"


def variant(name: str = "v", model: str = "m", **more: Any) -> dict[str, Any]:
    return {"VariantName": name, "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1, **more}


def create(plane: Plane, *variants: dict[str, Any], name: str = "c", **more: Any) -> dict[str, Any]:
    request = {"EndpointConfigName": name, "ProductionVariants": list(variants or [variant()]), **more}
    return run(plane, "CreateEndpointConfig", request)


def a_model(plane: Plane, name: str = "m") -> None:
    run(plane, "CreateModel", {"ModelName": name, "PrimaryContainer": {"Image": "i"}})


def test_a_configuration_is_described_as_it_was_given_with_the_weight_that_holds(plane: Plane) -> None:
    a_model(plane)
    given = [
        variant("a", ContainerStartupHealthCheckTimeoutInSeconds=60, ModelDataDownloadTimeoutInSeconds=3600),
        variant("b", InitialVariantWeight=0.5, InitialInstanceCount=2),
    ]
    answer = create(plane, *given, name="Config")
    described = run(plane, "DescribeEndpointConfig", {"EndpointConfigName": "Config"})

    assert answer == {"EndpointConfigArn": f"{ARN}endpoint-config/config"}
    assert described.pop("CreationTime") > 1_600_000_000
    assert described == {
        "EndpointConfigName": "Config",
        "EndpointConfigArn": f"{ARN}endpoint-config/config",
        "ProductionVariants": [{**given[0], "InitialVariantWeight": 1.0}, given[1]],
    }


@pytest.mark.parametrize(
    ("variants", "more", "message"),
    [
        ([variant("a"), variant("a")], {}, "Production variant names must be unique: 'a' is not."),
        ([variant(model="other")], {}, f'Could not find model "{ARN}model/other".'),
        ([{"VariantName": "v"}], {}, "Production variant 'v' needs ModelName."),
        ([{"VariantName": "v", "ModelName": "m"}], {}, "Production variant 'v' needs InstanceType."),
        ([{"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large"}], {}, "needs InitialInstanceCount."),
        (
            [variant()],
            {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "https://b/o"}}},
            "asyncInferenceConfig.outputConfig.s3OutputPath is 'https://b/o': seaproof writes to s3:// addresses.",
        ),
        (
            [variant()],
            {"ExplainerConfig": {"ClarifyExplainerConfig": {"ShapConfig": {"ShapBaselineConfig": {}}}}},
            "seaproof does not have this field of CreateEndpointConfig: ExplainerConfig.",
        ),
        ([variant(str(number)) for number in range(11)], {}, "Member must have length less than or equal to 10"),
    ],
)
def test_what_cannot_be_a_configuration_is_refused_and_not_stored(
    plane: Plane, variants: list[dict[str, Any]], more: dict[str, Any], message: str
) -> None:
    a_model(plane)
    with pytest.raises(ServiceError) as caught:
        create(plane, *variants, **more)

    assert caught.value.code == "ValidationException"
    assert message in caught.value.message
    assert run(plane, "ListEndpointConfigs", {}) == {"EndpointConfigs": []}


def test_taken_and_missing_names_are_told_in_the_words_that_sdks_look_for(plane: Plane) -> None:
    a_model(plane)
    create(plane)

    with pytest.raises(ServiceError) as taken:
        create(plane)
    assert taken.value.message == (f'Cannot create already existing endpoint configuration "{ARN}endpoint-config/c".')
    for operation in ("DescribeEndpointConfig", "DeleteEndpointConfig"):
        with pytest.raises(ServiceError) as missing:
            run(plane, operation, {"EndpointConfigName": "none"})
        assert missing.value.code == "ValidationException"
        assert missing.value.message == f'Could not find endpoint configuration "{ARN}endpoint-config/none".'


def test_ignored_fields_are_shown_and_told(plane: Plane) -> None:
    a_model(plane)
    create(plane, variant(VolumeSizeInGB=5), KmsKeyId="key")
    described = run(plane, "DescribeEndpointConfig", {"EndpointConfigName": "c"})

    assert described["KmsKeyId"] == "key"
    assert described["ProductionVariants"][0]["VolumeSizeInGB"] == 5
    assert [event.event["message"] for event in plane.store.events("endpoint-config", "c")] == [
        "recorded, without effect here: KmsKeyId, ProductionVariants.VolumeSizeInGB"
    ]


def test_configurations_are_listed_and_deleted_and_a_deleted_model_does_not_matter(plane: Plane) -> None:
    a_model(plane)
    for name in ("c1", "c2", "d"):
        create(plane, name=name)
    run(plane, "DeleteModel", {"ModelName": "m"})
    run(plane, "DeleteEndpointConfig", {"EndpointConfigName": "c1"})

    listed = run(plane, "ListEndpointConfigs", {"NameContains": "c"})["EndpointConfigs"]
    assert [config["EndpointConfigName"] for config in listed] == ["c2"]
    assert set(listed[0]) == {"EndpointConfigName", "EndpointConfigArn", "CreationTime"}
