"""Every member that an operation of the runtime is said to honour has its effect, and each other is named."""

import io
import json
import tarfile

import pytest
from botocore.exceptions import ClientError
from runtime_lab import ROLE, a_lab, order, until

from seaproof.api import coverage, spec

SHOWN = {
    "ContentType": ("Content-Type", "text/x-of-mine"),
    "Accept": ("Accept", "text/x-wanted"),
    "CustomAttributes": ("X-Amzn-SageMaker-Custom-Attributes", "a=1"),
    "InferenceId": ("X-Amzn-SageMaker-Inference-Id", "id-1"),
    "SessionId": ("X-Amzn-SageMaker-Session-Id", "NEW_SESSION"),
}
"""Members that the container is shown as a header, and values for them."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A lab with an endpoint of each kind."""
    with a_lab(tmp_path_factory.mktemp("members")) as lab:
        lab.plain = lab.deploy({"VariantName": "a"}, {"VariantName": "b"})
        output = {"S3OutputPath": "s3://later/out", "S3FailurePath": "s3://later/failed"}
        lab.later = lab.deploy(AsyncInferenceConfig={"OutputConfig": output})
        direct = [{"Image": lab.image, "ContainerHostname": name, "Environment": {"NAME": name}} for name in "xy"]
        lab.direct = of_model(lab, Containers=direct, InferenceExecutionConfig={"Mode": "Direct"})
        lab.file("s3://models/one.tar.gz").parent.mkdir(parents=True)
        lab.file("s3://models/one.tar.gz").write_bytes(one_archive())
        many = {"Image": lab.image, "Mode": "MultiModel", "ModelDataUrl": "s3://models/"}
        lab.many = of_model(lab, PrimaryContainer=many)
        yield lab


def one_archive():
    """An archive with nothing in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz"):
        pass
    return buffer.getvalue()


def of_model(lab, **model):
    """The name of an endpoint with this model."""
    sagemaker, name = lab.aws("sagemaker"), "of-" + "-".join(sorted(model)).lower()
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, **model)
    variant = {"VariantName": "all", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    lab.settle(name)
    return name


def whole(lab, **members):
    """InvokeEndpoint: what the container shows, and the answer's own members."""
    given = {"EndpointName": lab.plain, "Body": order(), **members}
    answer = lab.aws("sagemaker-runtime").invoke_endpoint(**given)
    return json.loads(answer["Body"].read()), answer


def streamed(lab, **members):
    """InvokeEndpointWithResponseStream, likewise."""
    given = {"EndpointName": lab.plain, "Body": order(), **members}
    answer = lab.aws("sagemaker-runtime").invoke_endpoint_with_response_stream(**given)
    return json.loads(b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"])), answer


def later(lab, **members):
    """InvokeEndpointAsync, likewise."""
    given = {"EndpointName": lab.later, **({} if "InputLocation" in members else {"Body": order()}), **members}
    answer = lab.aws("sagemaker-runtime").invoke_endpoint_async(**given)
    written = until(lambda: lab.file(answer["OutputLocation"]).exists() and lab.file(answer["OutputLocation"]))
    return json.loads(written.read_bytes()), answer


def member_of(lab, ask, member):
    """Whether this member has its effect."""
    if member in SHOWN:
        header, value = SHOWN[member]
        return ask(lab, **{member: value})[0]["headers"].get(header) == value
    if member == "EndpointName":
        with pytest.raises(ClientError, match="nobody"):
            ask(lab, EndpointName="nobody")
        return True
    if member == "Body":
        return ask(lab, Body=order(say="hello"))[0]["said"] == "hello"
    if member == "TargetVariant":
        return [ask(lab, TargetVariant=name)[0]["name"] for name in "abab"] == list("abab")
    if member == "TargetContainerHostname":
        asked = [ask(lab, EndpointName=lab.direct, TargetContainerHostname=name)[0]["name"] for name in "yx"]
        return asked == ["y", "x"]
    if member == "TargetModel":
        return ask(lab, EndpointName=lab.many, TargetModel="one.tar.gz")[0]["path"].startswith("/models/")
    if member == "InputLocation":
        lab.file("s3://later/in").parent.mkdir(parents=True, exist_ok=True)
        lab.file("s3://later/in").write_bytes(order(say="stored"))
        return ask(lab, InputLocation="s3://later/in")[0]["said"] == "stored"
    if member == "S3OutputPathExtension":
        return ask(lab, S3OutputPathExtension="day")[1]["OutputLocation"].startswith("s3://later/out/day/")
    if member == "Filename":
        return ask(lab, Filename="mine.json")[1]["OutputLocation"] == "s3://later/out/mine.json"
    if member == "InvocationTimeoutSeconds":
        slow = {"EndpointName": lab.later, "Body": order(sleep=60), "InvocationTimeoutSeconds": 1}
        answer = lab.aws("sagemaker-runtime").invoke_endpoint_async(**slow)
        failed = lab.file(answer["FailureLocation"])
        return "timed out" in until(lambda: failed.exists() and failed).read_text()
    assert member == "RequestTTLSeconds", f"nothing shows that {member} is honoured"
    # A minute is the least that it takes; `test_async_invocations` lets requests expire.
    with pytest.raises(ClientError, match="less than or equal to 21600"):
        ask(lab, RequestTTLSeconds=21601)
    return True


ASK = {"InvokeEndpoint": whole, "InvokeEndpointWithResponseStream": streamed, "InvokeEndpointAsync": later}


@pytest.mark.parametrize("name", ASK)
def test_each_member_that_is_honoured_has_its_effect(lab, name):
    (described,) = (one for one in coverage.of_service("sagemaker-runtime") if one.name == name)
    honoured = set(spec.input_shape(name, "sagemaker-runtime").members) - {*described.ignored, *described.refused}

    without = [member for member in sorted(honoured) if not member_of(lab, ASK[name], member)]

    assert without == []


def test_what_is_refused_is_refused_by_name_and_what_is_ignored_changes_nothing(lab):
    runtime = {one.name: one for one in coverage.of_service("sagemaker-runtime") if one.state != "absent"}
    with pytest.raises(ClientError, match="has no inference components"):
        whole(lab, InferenceComponentName="one")
    with pytest.raises(ClientError, match="has no explainer"):
        whole(lab, EnableExplanations="true")
    ignored, _ = whole(lab, PrefixAwareId="p")

    assert runtime["InvokeEndpoint"].refused == ["EnableExplanations", "InferenceComponentName"]
    assert runtime["InvokeEndpointWithResponseStream"].refused == ["InferenceComponentName"]
    assert {one.name: one.ignored for one in runtime.values()} == {
        "InvokeEndpoint": ["PrefixAwareId"],
        "InvokeEndpointWithResponseStream": ["PrefixAwareId"],
        "InvokeEndpointAsync": [],
    }
    assert not [header for header in ignored["headers"] if "prefix" in header.lower()]
