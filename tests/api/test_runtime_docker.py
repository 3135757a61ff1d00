"""The runtime's features with containers of a Docker engine behind them."""

import io
import json
import tarfile
from contextlib import closing

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
            EndpointName=endpoint, Body=order(parts=["one,", {"wait": "/tmp/go"}, "two"])
        )
        events = iter(body["Body"])
        parts = [next(events)["PayloadPart"]["Bytes"]]
        touch(lab, endpoint, "/tmp/go")
        parts += [event["PayloadPart"]["Bytes"] for event in events]

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

    assert parts == [b"one,", b"two"]
    assert limit == 2048 * 1024 * 1024
    assert asked == {keeper}
    assert [json.loads(answer)["said"] for answer in answers] == ["done"] * 3


def memory_of(lab, endpoint):
    """Bytes that the engine lets the endpoint's container have."""
    (id,) = ids_of(lab, endpoint)
    with closing(find_engine().client()) as client:
        return client.inspect_container(id)["HostConfig"]["Memory"]


def touch(lab, endpoint, path):
    """Make a file in each of the endpoint's containers."""
    with closing(find_engine().client()) as client:
        for id in ids_of(lab, endpoint):
            client.exec_start(client.exec_create(id, ["touch", path]))


def ids_of(lab, endpoint):
    """The endpoint's containers, as the engine knows them."""
    with closing(Store(lab.root / ".seaproof" / "seaproof.db")) as store:
        return [handle.id for _, _, handle in store.handles("endpoint", endpoint)]


def read(lab, uri):
    path = lab.file(uri)
    return path.read_text() if path.exists() else ""
