"""Data capture with boto3: what is written where, how it is encoded, how much of the traffic it is."""

import base64
import json
import re

import pytest
from botocore.exceptions import ClientError
from runtime_lab import a_lab, order, until

BOTH = [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}]
TYPES = {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with a_lab(tmp_path_factory.mktemp("capture")) as lab:
        yield lab


def capture(uri, percent=100, options=BOTH, **more):
    return {"InitialSamplingPercentage": percent, "DestinationS3Uri": uri, "CaptureOptions": options, **more}


def lines(lab, uri, count):
    """All captured lines below an address, once there are so many."""

    def found():
        texts = [path.read_text() for path in sorted(lab.file(uri).rglob("*.jsonl"))]
        kept = [json.loads(line) for text in texts for line in text.splitlines()]
        return kept if len(kept) >= count else None

    return until(found)


def test_requests_and_answers_are_kept_in_the_platforms_layout(lab):
    endpoint = lab.deploy(
        DataCaptureConfig=capture("s3://data/kept", EnableCapture=True, CaptureContentTypeHeader=TYPES)
    )
    runtime = lab.aws("sagemaker-runtime")
    runtime.invoke_endpoint(EndpointName=endpoint, Body=b"1,2", ContentType="text/csv; charset=utf-8", InferenceId="id")
    (entry,) = lines(lab, "s3://data/kept", 1)
    with pytest.raises(ClientError, match="ModelError"):  # of which there is no line
        runtime.invoke_endpoint(EndpointName=endpoint, Body=order(status=500), ContentType="application/json")
    runtime.invoke_endpoint(EndpointName=endpoint, Body=b"\x00\xff", ContentType="image/png", CustomAttributes="a=b")
    _, second = lines(lab, "s3://data/kept", 2)
    described = lab.aws("sagemaker").describe_endpoint(EndpointName=endpoint)["DataCaptureConfig"]

    (file, _) = sorted(lab.file("s3://data/kept").rglob("*.jsonl"))
    where = file.relative_to(lab.file(f"s3://data/kept/{endpoint}/AllTraffic")).as_posix()
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d\d\d-[0-9a-f-]{36}\.jsonl", where)
    about = entry.pop("eventMetadata")
    assert re.fullmatch(r"[0-9a-f-]{36}", about.pop("eventId"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", about.pop("inferenceTime"))
    assert about == {"inferenceId": "id"}
    side = {"observedContentType": "text/csv; charset=utf-8", "data": "1,2", "encoding": "CSV"}
    assert entry == {
        "captureData": {"endpointInput": {**side, "mode": "INPUT"}, "endpointOutput": {**side, "mode": "OUTPUT"}},
        "eventVersion": "0",
    }
    data = second["captureData"]["endpointInput"]
    assert (data["encoding"], base64.b64decode(data["data"])) == ("BASE64", b"\x00\xff")
    assert second["eventMetadata"]["customAttributes"] == ["a=b"]
    assert (described["CaptureStatus"], described["CurrentSamplingPercentage"]) == ("Started", 100)


def test_a_share_of_the_traffic_is_kept_and_one_side_where_one_is_asked_for(lab):
    endpoint = lab.deploy(DataCaptureConfig=capture("s3://data/half", 50, [{"CaptureMode": "Output"}]))
    runtime = lab.aws("sagemaker-runtime")

    for number in range(200):
        runtime.invoke_endpoint(EndpointName=endpoint, Body=b"%d" % number, ContentType="text/csv")
    # What comes later is written later: when this one is there, those before it are.
    marker = lab.deploy(DataCaptureConfig=capture("s3://data/marker"))
    runtime.invoke_endpoint(EndpointName=marker, Body=b"1", ContentType="text/csv")
    lines(lab, "s3://data/marker", 1)
    kept = lines(lab, "s3://data/half", 1)

    assert 60 <= len(kept) <= 140  # 100 on average, and more than five deviations to each side
    assert {tuple(entry["captureData"]) for entry in kept} == {("endpointOutput",)}


def test_streams_are_kept_whole_and_the_shadows_answers_in_its_own_folder(lab):
    endpoint = lab.deploy(
        {"VariantName": "live"},
        shadow={"VariantName": "dark"},
        DataCaptureConfig=capture("s3://data/streams", CaptureContentTypeHeader=TYPES),
    )
    answer = lab.aws("sagemaker-runtime").invoke_endpoint_with_response_stream(
        EndpointName=endpoint, Body=order(parts=["one,", "two"]), ContentType="application/json"
    )
    assert len(list(answer["Body"])) >= 1
    kept = lines(lab, "s3://data/streams", 2)

    assert [entry["captureData"]["endpointOutput"]["data"] for entry in kept] == ["one,two"] * 2
    assert {path.name for path in lab.file(f"s3://data/streams/{endpoint}").iterdir()} == {"live", "dark"}


def test_an_update_keeps_the_capture_where_it_is_told_to(lab):
    endpoint = lab.deploy(DataCaptureConfig=capture("s3://data/first"))
    sagemaker = lab.aws("sagemaker")
    sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=lab.config(), RetainAllVariantProperties=True)
    kept = lab.settle(endpoint)["DataCaptureConfig"]["DestinationS3Uri"]
    sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=lab.config())
    after = lab.settle(endpoint)

    assert kept == "s3://data/first"
    assert "DataCaptureConfig" not in after


def test_a_destination_that_is_no_bucket_is_refused(lab):
    with pytest.raises(ClientError, match="destinationS3Uri is 'https:"):
        lab.config(DataCaptureConfig=capture("https://example.com/x"))
