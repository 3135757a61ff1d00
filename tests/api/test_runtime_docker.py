"""The runtime's features with containers of a Docker engine behind them."""

import io
import json
import tarfile

import pytest
from runtime_lab import SERVE, a_lab, order, until

from seaproof.control.store import Store
from seaproof.drivers.docker.engine import find_engine

IMAGE = "seaproof-test-obedient"


def build_image():
    """The container of the other tests as an image: `serve` on PATH, as SageMaker looks for it."""
    files = {
        "Dockerfile": "FROM seaproof-base:latest\nCOPY serve /usr/local/bin/serve\n",
        "serve": f"#!/usr/bin/env python3\n{SERVE.read_text()}",
    }
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text.encode()), 0o755
            archive.addfile(member, io.BytesIO(text.encode()))
    context.seek(0)
    client = find_engine().client()
    try:
        steps = list(client.build(fileobj=context, custom_context=True, tag=IMAGE, rm=True, decode=True))
    finally:
        client.close()
    assert not [step for step in steps if "error" in step], steps


@pytest.mark.docker
def test_streams_sessions_capture_and_the_queue_of_a_killed_coordinator(open_path):
    build_image()
    both = [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}]
    capture = {"InitialSamplingPercentage": 100, "DestinationS3Uri": "s3://data/kept", "CaptureOptions": both}
    output = {"OutputConfig": {"S3OutputPath": "s3://data/out", "S3FailurePath": "s3://data/failed"}}
    with a_lab(open_path / "lab", driver="docker", image=IMAGE) as lab:
        endpoint = lab.deploy({"InitialInstanceCount": 2}, DataCaptureConfig=capture)
        later = lab.deploy(AsyncInferenceConfig=output)
        small = lab.deploy({"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 1}})
        limit = memory_of(lab, small)
        runtime = lab.aws("sagemaker-runtime")
        body = runtime.invoke_endpoint_with_response_stream(
            EndpointName=endpoint, Body=order(parts=["one,", 0.1, "two"])
        )
        parts = [event["PayloadPart"]["Bytes"] for event in body["Body"]]

        def ask(session, **what):
            answer = runtime.invoke_endpoint(EndpointName=endpoint, SessionId=session, Body=order(**what))
            return json.loads(answer["Body"].read())["me"]

        keeper = ask("NEW_SESSION", headers={"X-Amzn-SageMaker-New-Session-Id": "s1"})
        until(lambda: len(list(lab.file("s3://data/kept").rglob("*.jsonl"))) >= 1)
        accepted = [
            runtime.invoke_endpoint_async(EndpointName=later, Body=order(sleep=1, say="done")) for _ in range(3)
        ]
        lab.kill()
        lab.start()
        runtime = lab.aws("sagemaker-runtime")
        answers = [until(lambda one=one: read(lab, one["OutputLocation"])) for one in accepted]
        asked = {ask("s1") for _ in range(10)}

    assert b"".join(parts) == b"one,two"
    assert len(parts) >= 2
    assert limit == 2048 * 1024 * 1024
    assert asked == {keeper}
    assert [json.loads(answer)["said"] for answer in answers] == ["done"] * 3


def memory_of(lab, endpoint):
    """Bytes that the engine lets the endpoint's container have."""
    store = Store(lab.root / ".seaproof" / "seaproof.db")
    ((_, _, handle),) = store.handles("endpoint", endpoint)
    store.close()
    client = find_engine().client()
    try:
        return client.inspect_container(handle.id)["HostConfig"]["Memory"]
    finally:
        client.close()


def read(lab, uri):
    path = lab.file(uri)
    return path.read_text() if path.exists() else ""
