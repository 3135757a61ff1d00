"""InvokeEndpointWithResponseStream with boto3: parts as they come, and every way in which a stream can end."""

import contextlib
import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError, EventStreamError
from runtime_lab import a_lab, order, until


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with a_lab(tmp_path_factory.mktemp("stream"), stream_timeout=5.0) as lab:
        lab.endpoint = lab.deploy()
        yield lab


def stream(lab, body, **more):
    return lab.aws("sagemaker-runtime").invoke_endpoint_with_response_stream(
        EndpointName=lab.endpoint, Body=body, **more
    )


def log(lab):
    names = lab.client.log_streams("Endpoints", lab.endpoint)
    return "".join(lab.client.logs("Endpoints", name, 0)[0].decode() for name in names)


def test_the_first_part_is_there_before_the_second_exists(lab, tmp_path):
    go = tmp_path / "go"
    answer = stream(
        lab,
        order(parts=["one,", {"wait": str(go)}, "two"], headers={"X-Amzn-SageMaker-Custom-Attributes": "trace"}),
        ContentType="application/json",
        Accept="text/csv",
    )
    events = iter(answer["Body"])

    first = next(events)
    go.touch()
    rest = b"".join(event["PayloadPart"]["Bytes"] for event in events)

    assert (first["PayloadPart"]["Bytes"], rest) == (b"one,", b"two")
    assert answer["ContentType"] == "text/csv; charset=x"
    assert (answer["InvokedProductionVariant"], answer["CustomAttributes"]) == ("AllTraffic", "trace")


def test_the_container_sees_an_ordinary_invocation(lab):
    answer = stream(
        lab,
        order(say="x"),
        ContentType="application/json",
        Accept="text/csv",
        CustomAttributes="a=1",
        InferenceId="id-1",
        TargetVariant="AllTraffic",
    )
    body = b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"]).decode()

    for header in (
        '"Content-Type": "application/json"',
        '"Accept": "text/csv"',
        '"X-Amzn-SageMaker-Custom-Attributes": "a=1"',
        '"X-Amzn-SageMaker-Inference-Id": "id-1"',
    ):
        assert header in body
    assert "X-Amzn-SageMaker-Accept" not in body


def test_a_large_reply_arrives_whole_in_parts_of_a_size_that_clients_take(lab):
    large = bytes(range(256)) * 40_000

    parts = [event["PayloadPart"]["Bytes"] for event in stream(lab, large, ContentType="x/y")["Body"]]

    assert b"".join(parts) == large
    assert max(map(len, parts)) <= 1024 * 1024


def test_what_fails_before_the_first_part_is_a_model_error(lab):
    with pytest.raises(ClientError, match="no column") as refused:
        stream(lab, order(status=400, answer="no column x"))
    with pytest.raises(ClientError, match="closed") as broken:
        stream(lab, order(parts=["break"]))
    with pytest.raises(ClientError, match="not found") as absent:
        lab.aws("sagemaker-runtime").invoke_endpoint_with_response_stream(EndpointName="nobody", Body=b"")

    assert refused.value.response["Error"]["Code"] == "ModelError"
    assert refused.value.response["OriginalStatusCode"] == 400
    assert broken.value.response["OriginalStatusCode"] == 500
    assert absent.value.response["Error"]["Code"] == "ValidationError"


@pytest.mark.parametrize(
    ("parts", "code"), [(["one", 0.2, "break"], "StreamBroken"), (["one", 30, "two"], "ModelInvocationTimeExceeded")]
)
def test_what_fails_later_ends_the_stream_with_a_model_stream_error(lab, parts, code):
    with ThreadPoolExecutor(1) as pool, contextlib.closing(stream(lab, order(parts=parts))["Body"]) as body:
        # boto3 drops the error's own code, which other SDKs have.
        raw = pool.submit(messages, lab, order(parts=parts))
        events = iter(body)
        first = next(events)["PayloadPart"]["Bytes"]
        with pytest.raises(EventStreamError, match="ModelStreamError"):
            list(events)
        *_, last = raw.result()

    assert first == b"one"
    assert (last["headers"][":exception-type"], json.loads(last["payload"])["ErrorCode"]) == ("ModelStreamError", code)


def messages(lab, body):
    """The messages of a stream as they are on the wire."""
    request = urllib.request.Request(
        f"{lab.client.url}/endpoints/{lab.endpoint}/invocations-response-stream", data=body, method="POST"
    )
    buffer = EventStreamBuffer()
    with urllib.request.urlopen(request) as reply:
        buffer.add_data(reply.read())
    return [{"headers": message.headers, "payload": message.payload} for message in buffer]


def errors(lab):
    """How many of the container's answers failed so far."""
    return [line for line in lab.client.metrics().splitlines() if line.startswith("InvocationModelErrors_total")]


def test_a_client_that_goes_away_ends_the_containers_stream(lab):
    answer = stream(lab, order(parts=["x" * 1000, 0.01] * 3000))
    next(iter(answer["Body"]))
    before, said = errors(lab), log(lab).count("the client went away")

    answer["Body"].close()

    until(lambda: log(lab).count("the client went away") > said)
    assert errors(lab) == before  # and not because its time was over
    assert [event["PayloadPart"]["Bytes"] for event in stream(lab, b"still there")["Body"]] == [b"still there"]
