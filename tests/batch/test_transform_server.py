"""Transform jobs on the local server with boto3 in front and a real program behind, through kills of either."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from server_lab import ROLE, asked, make_project, sagemaker, server
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


def test_a_coordinator_killed_in_the_middle_is_followed_by_one_that_goes_on(tmp_path: Path) -> None:
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
    with server(tmp_path) as (client, _):
        api = sagemaker(client.url)
        until(
            lambda: api.describe_transform_job(TransformJobName="job")["TransformJobStatus"] == "Completed", "the end"
        )

        assert (tmp_path / ".seaproof/s3/b/out/rows.csv.out").read_bytes() == expected
        assert 3 <= len(asked(here)) - before <= 6
        assert client.events("transform-job", "job")[-1]["type"] != "internal-error"


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
            lambda: api.describe_transform_job(TransformJobName="job")["TransformJobStatus"] == "Completed", "the end"
        )

        assert (tmp_path / ".seaproof/s3/b/out/rows.csv.out").read_bytes() == expected
        assert len(asked(here)) == 1
