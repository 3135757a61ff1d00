"""Transform jobs on the local server with boto3 in front and a real program behind, through kills of either."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from server_lab import ROLE, asked, make_project, processes, sagemaker, server, starts
from transform_lab import MIB, until

LINE = b"row %06d " + b"x" * 1013 + b"\n"


def job(name: str = "job", **more: Any) -> dict[str, Any]:
    return {
        "TransformJobName": name,
        "ModelName": "capitals",
        "MaxPayloadInMB": 1,
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in/"}},
            "SplitType": "Line",
        },
        "TransformOutput": {"S3OutputPath": "s3://b/out/"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **more,
    }


def objects(root: Path, count: int) -> bytes:
    """An input of so many payloads of 1 MiB, less one line; what its output has to be."""
    folder = root / ".seaproof" / "s3" / "b" / "in"
    folder.mkdir(parents=True)
    data = b"".join(LINE % number for number in range(count * MIB // len(LINE % 0) - 1))
    (folder / "rows.csv").write_bytes(data)
    return data.upper()


def test_a_job_made_with_boto3_is_waited_for_described_and_listed(tmp_path: Path) -> None:
    make_project(tmp_path)
    expected = objects(tmp_path, 3)
    with server(tmp_path) as (client, _):
        api = sagemaker(client.url)
        api.create_model(ModelName="capitals", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "capitals"})
        api.create_transform_job(**job())
        waiter = api.get_waiter("transform_job_completed_or_stopped")
        waiter.wait(TransformJobName="job", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        found = api.describe_transform_job(TransformJobName="job")

        assert found["TransformJobStatus"] == "Completed"
        assert found["TransformInput"]["SplitType"] == "Line"
        assert found["TransformEndTime"] >= found["TransformStartTime"] >= found["CreationTime"]
        assert (tmp_path / ".seaproof/s3/b/out/rows.csv.out").read_bytes() == expected
        assert [one["TransformJobName"] for one in api.list_transform_jobs()["TransformJobSummaries"]] == ["job"]
        assert api.list_tags(ResourceArn=found["TransformJobArn"])["Tags"] == []


@pytest.mark.parametrize("container", ["lives", "died too"])
def test_a_coordinator_killed_in_the_middle_is_followed_by_one_that_goes_on(tmp_path: Path, container: str) -> None:
    here = make_project(tmp_path)
    expected = objects(tmp_path, 6)
    (here / "hold").write_bytes(b"row 004000 ")
    with server(tmp_path) as (client, process):
        api = sagemaker(client.url)
        api.create_model(ModelName="capitals", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "capitals"})
        api.create_transform_job(**job())
        until(lambda: len(asked(here)) == 4, "three payloads are done and one is held")
        until(lambda: list((tmp_path / ".seaproof/transforms/job").glob("*.journal")), "there is a journal")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / ".seaproof/s3/b/out").exists()
    (here / "hold").unlink()
    before = len(asked(here))
    if container == "died too":
        for pid in processes(here):
            with suppress(ProcessLookupError):  # it went with the one before it
                os.kill(pid, signal.SIGKILL)
    with server(tmp_path) as (client, _):
        api = sagemaker(client.url)
        until(
            lambda: api.describe_transform_job(TransformJobName="job")["TransformJobStatus"] == "Completed", "the end"
        )
        told = {event["type"]: event["message"] for event in client.events("transform-job", "job")}

    assert (tmp_path / ".seaproof/s3/b/out/rows.csv.out").read_bytes() == expected
    assert 3 <= len(asked(here)) - before <= 6
    assert "internal-error" not in told
    if container == "lives":
        assert told["recovered"] == "goes on after what was written last, with 1 of its instances, found running"
        assert starts(here) == 1
    else:
        assert told["recovered"] == "goes on after what was written last, with new instances"
        assert "its container" in told["lost"]
        assert starts(here) == 2
    assert not processes(here)


def test_a_container_that_dies_is_replaced_and_asked_again_until_the_retries_are_used_up(tmp_path: Path) -> None:
    here = make_project(tmp_path)
    folder = tmp_path / ".seaproof" / "s3" / "b" / "in"
    folder.mkdir(parents=True)
    (folder / "1").write_bytes(b"die\n")
    (folder / "2").write_bytes(b"live\n")
    with server(tmp_path) as (client, _):
        api = sagemaker(client.url)
        api.create_model(ModelName="capitals", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "capitals"})
        api.create_transform_job(**job(ModelClientConfig={"InvocationsMaxRetries": 1}))
        until(lambda: api.describe_transform_job(TransformJobName="job")["TransformJobStatus"] == "Failed", "the end")
        found = api.describe_transform_job(TransformJobName="job")

        assert "Unable to get response from algorithm" in found["FailureReason"]
        assert "The container primary ended: exit code 3" in found["FailureReason"]
        assert asked(here) == [b"die", b"die", b"live"]
        assert (tmp_path / ".seaproof/s3/b/out/2.out").read_bytes() == b"LIVE\n"
        assert not (tmp_path / ".seaproof/s3/b/out/1.out").exists()


def test_without_a_payload_limit_an_object_is_sent_whole_in_chunks(tmp_path: Path) -> None:
    here = make_project(tmp_path)
    expected = objects(tmp_path, 9)
    with server(tmp_path) as (client, _):
        api = sagemaker(client.url)
        api.create_model(ModelName="capitals", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "capitals"})
        api.create_transform_job(**job(MaxPayloadInMB=0))
        until(
            lambda: api.describe_transform_job(TransformJobName="job")["TransformJobStatus"] != "InProgress", "the end"
        )

        assert (tmp_path / ".seaproof/s3/b/out/rows.csv.out").read_bytes() == expected
        assert len(asked(here)) == 1


def test_a_container_that_takes_no_such_size_fails_the_object_with_413_and_what_to_do(
    tmp_path: Path,
) -> None:
    here = make_project(tmp_path)
    expected = objects(tmp_path, 3)
    (here / "most").write_text("600000")
    with server(tmp_path) as (client, _):
        api = sagemaker(client.url)
        api.create_model(ModelName="capitals", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "capitals"})
        ended = api.get_waiter("transform_job_completed_or_stopped")
        api.create_transform_job(**job("plain"))
        until(lambda: api.describe_transform_job(TransformJobName="plain")["TransformJobStatus"] == "Failed", "its end")
        found = api.describe_transform_job(TransformJobName="plain")
        log = (tmp_path / ".seaproof/logs/TransformJobs/plain/data-log.log").read_text()
        nothing = not (tmp_path / ".seaproof/s3/b/out").exists()
        aside = [{"Key": "seaproof:quarantine", "Value": "true"}]
        api.create_transform_job(**job("halved", Tags=aside))
        ended.wait(TransformJobName="halved", WaiterConfig={"Delay": 1, "MaxAttempts": 60})

    assert found["FailureReason"] == (
        "ClientError: See job logs for more information. s3://b/in/rows.csv: ClientError: 413."
        " It answered '<h1>413 Request Entity Too Large</h1>'"
        " (request 1 of the object: from record 1, bytes 0 to 1,048,575)."
        " The container takes no request of that size: let it (nginx: client_max_body_size),"
        " or cut smaller ones with `--max-payload` (MaxPayloadInMB)."
    )
    lines = [line.partition(":[sagemaker logs]: ")[2] for line in log.splitlines()]
    assert lines[:5] == [
        "MaxConcurrentTransforms=1, MaxPayloadInMB=1, BatchStrategy=MULTI_RECORD",
        "b/in/rows.csv: ClientError: 413",
        "b/in/rows.csv: ",
        "b/in/rows.csv: Message:",
        "b/in/rows.csv: <h1>413 Request Entity Too Large</h1>",
    ]
    assert nothing
    # What is too large together is not bad: halves of it pass.
    assert (tmp_path / ".seaproof/s3/b/out/rows.csv.out").read_bytes() == expected
    assert not (tmp_path / ".seaproof/s3/b/out/rows.csv.quarantine.jsonl").exists()
