"""Requests held to the API model, in the words of the service."""

# ruff: noqa: E501, ISC004 - whole messages read better than broken ones

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaproof.api import validate
from seaproof.errors import ServiceError

ROLE = "arn:aws:iam::000000000000:role/any"
NAME = r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
MODEL_NAME = r"[a-zA-Z0-9]([\-a-zA-Z0-9]*[a-zA-Z0-9])?"
SUBNET = (
    "Member must satisfy constraint: [Member must have length less than or equal to 32, Member must have length"
    " greater than or equal to 0, Member must satisfy regular expression pattern: [-0-9a-zA-Z]+]"
)
ENVIRONMENT = (
    "Member must have length less than or equal to 1024, Member must have length greater than or equal to 0,"
    r" Member must satisfy regular expression pattern: [\S\s]*]"
)


def model(**container: Any) -> dict[str, Any]:
    return {"ModelName": "m", "PrimaryContainer": {"Image": "i", **container}}


def config(**variant: Any) -> dict[str, Any]:
    return {"EndpointConfigName": "c", "ProductionVariants": [{"VariantName": "v", **variant}]}


def job(**changes: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": "j",
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://b/o"},
        "StoppingCondition": {},
        "ResourceConfig": {},
        **changes,
    }


VIOLATIONS: list[tuple[str, Any, str]] = [
    ("CreateModel", {}, "Value null at 'modelName'|Member must not be null"),
    ("CreateModel", {"ModelName": None}, "Value null at 'modelName'|Member must not be null"),
    (
        "CreateModel",
        {"ModelName": "bad_name!"},
        f"Value 'bad_name!' at 'modelName'|Member must satisfy regular expression pattern: {MODEL_NAME}",
    ),
    (
        "CreateModel",
        {"ModelName": ""},
        f"Value '' at 'modelName'|Member must satisfy regular expression pattern: {MODEL_NAME}",
    ),
    (
        "CreateModel",
        {"ModelName": "a" * 64},
        f"Value '{'a' * 64}' at 'modelName'|Member must have length less than or equal to 63",
    ),
    ("CreateModel", {"ModelName": 5}, "Value '5' at 'modelName'|Member must be a string"),
    ("CreateModel", {"ModelName": True}, "Value 'true' at 'modelName'|Member must be a string"),
    ("CreateModel", {"ModelName": ["x"]}, "Value '[x]' at 'modelName'|Member must be a string"),
    (
        "CreateModel",
        {"ModelName": "m", "PrimaryContainer": "i"},
        "Value 'i' at 'primaryContainer'|Member must be a structure",
    ),
    ("CreateModel", {"ModelName": "m", "Containers": {}}, "Value '{}' at 'containers'|Member must be a list"),
    (
        "CreateModel",
        {"ModelName": "m", "Containers": [{"Image": "a b"}]},
        r"Value 'a b' at 'containers.1.member.image'|Member must satisfy regular expression pattern: [\S]+",
    ),
    (
        "CreateModel",
        {"ModelName": "m", "Containers": [{}] * 16},
        f"Value '[{', '.join(['{}'] * 16)}]' at 'containers'|Member must have length less than or equal to 15",
    ),
    (
        "CreateModel",
        model(Mode="Multi"),
        "Value 'Multi' at 'primaryContainer.mode'|Member must satisfy enum value set: [SingleModel, MultiModel]",
    ),
    (
        "CreateModel",
        model(ModelDataUrl="ftp://x"),
        "Value 'ftp://x' at 'primaryContainer.modelDataUrl'|Member must satisfy regular expression pattern: (https|s3)://([^/]+)/?(.*)",
    ),
    (
        "CreateModel",
        model(Environment={"A": "x" * 1025}),
        f"Value '{{A={'x' * 509}...' at 'primaryContainer.environment'|Map value must satisfy constraint: [{ENVIRONMENT}",
    ),
    (
        "CreateModel",
        model(Environment={"A": 1}),
        "Value '{A=1}' at 'primaryContainer.environment'|Map value must satisfy constraint: [Member must be a string]",
    ),
    (
        "CreateModel",
        model(Environment={"1A": "x"}),
        "Value '{1A=x}' at 'primaryContainer.environment'|Map keys must satisfy constraint: [Member must have length less"
        " than or equal to 1024, Member must have length greater than or equal to 0,"
        " Member must satisfy regular expression pattern: [a-zA-Z_][a-zA-Z0-9_]*]",
    ),
    ("CreateModel", model(Environment=[]), "Value '[]' at 'primaryContainer.environment'|Member must be a map"),
    (
        "CreateModel",
        {**model(), "ExecutionRoleArn": "role"},
        "Value 'role' at 'executionRoleArn'|Member must have length greater than or equal to 20; Value 'role' at"
        " 'executionRoleArn' failed to satisfy constraint: Member must satisfy regular expression pattern:"
        r" arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+",
    ),
    (
        "CreateModel",
        {**model(), "VpcConfig": {"Subnets": ["a!"], "SecurityGroupIds": ["s"]}},
        f"Value '[a!]' at 'vpcConfig.subnets'|{SUBNET}",
    ),
    (
        "CreateModel",
        {**model(), "VpcConfig": {"Subnets": ["a"], "SecurityGroupIds": []}},
        "Value '[]' at 'vpcConfig.securityGroupIds'|Member must have length greater than or equal to 1",
    ),
    (
        "CreateModel",
        {**model(), "VpcConfig": {"Subnets": ["a"]}},
        "Value null at 'vpcConfig.securityGroupIds'|Member must not be null",
    ),
    (
        "CreateModel",
        {**model(), "EnableNetworkIsolation": "yes"},
        "Value 'yes' at 'enableNetworkIsolation'|Member must be a boolean",
    ),
    ("CreateModel", {**model(), "Tags": [{"Key": "k"}]}, "Value null at 'tags.1.member.value'|Member must not be null"),
    ("CreateModel", model(Image="\ud800"), "Value '\ud800' at 'primaryContainer.image'|Member must be valid Unicode"),
    ("CreateModel", model(ImageConfig=None, Image=3), "Value '3' at 'primaryContainer.image'|Member must be a string"),
    (
        "CreateEndpointConfig",
        {"EndpointConfigName": "c", "ProductionVariants": []},
        "Value '[]' at 'productionVariants'|Member must have length greater than or equal to 1",
    ),
    (
        "CreateEndpointConfig",
        {"EndpointConfigName": "c", "ProductionVariants": [None]},
        "Value 'NoneType' at 'productionVariants.1.member'|Member must be a structure",
    ),
    (
        "CreateEndpointConfig",
        config(InitialInstanceCount=0),
        "Value '0' at 'productionVariants.1.member.initialInstanceCount'|Member must have value greater than or equal to 1",
    ),
    (
        "CreateEndpointConfig",
        config(InitialInstanceCount=1.5),
        "Value '1.5' at 'productionVariants.1.member.initialInstanceCount'|Member must be a whole number (integer)",
    ),
    (
        "CreateEndpointConfig",
        config(InitialInstanceCount=2**31),
        "Value '2147483648' at 'productionVariants.1.member.initialInstanceCount'|Member must be a whole number (integer)",
    ),
    (
        "CreateEndpointConfig",
        config(InitialInstanceCount=True),
        "Value 'true' at 'productionVariants.1.member.initialInstanceCount'|Member must be a number",
    ),
    (
        "CreateEndpointConfig",
        config(InitialVariantWeight=-0.1),
        "Value '-0.1' at 'productionVariants.1.member.initialVariantWeight'|Member must have value greater than or equal to 0",
    ),
    (
        "CreateEndpointConfig",
        config(InitialVariantWeight=float("nan")),
        "Value 'nan' at 'productionVariants.1.member.initialVariantWeight'|Member must be a finite number",
    ),
    (
        "CreateEndpointConfig",
        config(InitialVariantWeight=10**400),
        f"Value '{'1' + '0' * 400}' at 'productionVariants.1.member.initialVariantWeight'|Member must be a finite number",
    ),
    (
        "CreateEndpointConfig",
        config(ContainerStartupHealthCheckTimeoutInSeconds=10),
        "Value '10' at 'productionVariants.1.member.containerStartupHealthCheckTimeoutInSeconds'|Member must have value"
        " greater than or equal to 60",
    ),
    ("ListModels", {"MaxResults": 101}, "Value '101' at 'maxResults'|Member must have value less than or equal to 100"),
    (
        "ListModels",
        {"CreationTimeAfter": "2024-01-01"},
        "Value '2024-01-01' at 'creationTimeAfter'|Member must be a time in seconds since the epoch",
    ),
    (
        "ListModels",
        {"SortBy": "Size"},
        "Value 'Size' at 'sortBy'|Member must satisfy enum value set: [Name, CreationTime]",
    ),
    (
        "DeleteTags",
        {"ResourceArn": "arn:aws:sagemaker:r:000000000000:model/m", "TagKeys": [1]},
        "Value '[1]' at 'tagKeys'|Member must satisfy constraint: [Member must be a string]",
    ),
    (
        "CreateTrainingJob",
        job(HyperParameters={"a": "x" * 2501}),
        "Value '{a="
        + "x" * 509
        + "...' at 'hyperParameters'|Map value must satisfy constraint: [Member must have length less than or equal to 2500, Member must have length greater than or equal to 0, Member must satisfy regular expression pattern: .*]",
    ),
    (
        "CreateTrainingJob",
        job(HyperParameters={"a": 3}),
        "Value '{a=3}' at 'hyperParameters'|Map value must satisfy constraint: [Member must be a string]",
    ),
    (
        "CreateTrainingJob",
        job(TrainingJobName="a_b"),
        f"Value 'a_b' at 'trainingJobName'|Member must satisfy regular expression pattern: {NAME}",
    ),
    (
        "CreateModel",
        {**model(), "Foo": 1},
        "Value at 'foo'|Member is not known to the API; it can have: [ModelName, PrimaryContainer, Containers, InferenceExecutionConfig, ExecutionRoleArn, Tags, VpcConfig, EnableNetworkIsolation]",
    ),
]


@pytest.mark.parametrize(("operation", "request_", "expected"), VIOLATIONS, ids=lambda value: str(value)[:60])
def test_a_violation_is_told_in_the_services_words(operation: str, request_: Any, expected: str) -> None:
    where, problem = expected.split("|", 1) if "(https|s3)" not in expected else expected.split("|Member", 1)
    if "(https|s3)" in expected:
        problem = "Member" + problem
    with pytest.raises(ServiceError) as caught:
        validate.check(operation, request_)

    assert caught.value.code == "ValidationException"
    count = problem.count("failed to satisfy constraint") + 1
    plural = "s" if count > 1 else ""
    assert caught.value.message == (
        f"{count} validation error{plural} detected: {where} failed to satisfy constraint: {problem}"
    )


def test_all_violations_are_collected() -> None:
    with pytest.raises(ServiceError) as caught:
        validate.check(
            "CreateEndpointConfig", {"ProductionVariants": [{"InstanceType": "local"}, {"VariantName": "-"}]}
        )

    message = caught.value.message
    assert message.startswith("4 validation errors detected: Value null at 'endpointConfigName' failed")
    assert "; Value null at 'productionVariants.1.member.variantName'" in message
    assert "; Value 'local' at 'productionVariants.1.member.instanceType'" in message
    assert "; Value '-' at 'productionVariants.2.member.variantName'" in message


def test_a_union_holds_exactly_one_member() -> None:
    shape = next(
        shape
        for shape in map(validate.spec.service().shape_for, validate.spec.service().shape_names)
        if getattr(shape, "is_tagged_union", False) and len(shape.members) > 1
    )

    assert "exactly one of these members" in next(validate.violations(shape, {}, "x"))


def test_a_sensitive_value_is_not_repeated() -> None:
    shapes = map(validate.spec.service().shape_for, validate.spec.service().shape_names)
    secret = next(s for s in shapes if s.type_name == "string" and s.metadata.get("sensitive") and "max" in s.metadata)
    (problem,) = [p for p in validate.violations(secret, "s3cret" * 10_000, "x") if "length" in p]

    assert "s3cret" not in problem
    assert problem.startswith("Value at 'x' failed")


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("CreateModel", model(Environment={"A": "x" * 1024, "B_1": ""})),
        ("CreateModel", {**model(), "Tags": [{"Key": "Größe", "Value": ""}]}),
        ("CreateEndpointConfig", config(InitialVariantWeight=1, InitialInstanceCount=1, InstanceType="ml.m5.large")),
        ("ListModels", {"CreationTimeAfter": 1.5, "MaxResults": 100, "NextToken": ""}),
        ("CreateTrainingJob", job(HyperParameters={}, ResourceConfig={"VolumeSizeInGB": 1})),
    ],
)
def test_a_request_as_it_should_be_passes_unchanged(operation: str, request_: dict[str, Any]) -> None:
    assert validate.check(operation, request_) == request_


def test_null_is_absent() -> None:
    request = model(ModelDataUrl=None, Environment={"A": None})

    assert validate.check("CreateModel", request) == model(Environment={})


texts = st.text(alphabet="aZ0-_.:/ ü\n\ud800", max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["ModelName", "PrimaryContainer", "Containers", "Tags", "VpcConfig", "X"]),
        json_values,
        max_size=4,
    )
)
def test_no_request_of_any_kind_is_more_than_a_validation_error(request: dict[str, Any]) -> None:
    try:
        told = f"ValidationException: {validate.check('CreateModel', request)}"
    except ServiceError as error:
        told = f"{error.code}: {error.message}"

    assert told.startswith("ValidationException: ")
