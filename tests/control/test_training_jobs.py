"""Training jobs from create to their end, with the fake driver: what Describe shows, and every way to fail or stop."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from job_lab import (
    Opener,
    channel,
    describe,
    end_of,
    events,
    keys,
    members,
    put,
    request,
    secondaries,
    train,
    until,
)

from seaproof.api import operations
from seaproof.contract.opt_ml import read_training
from seaproof.control.plane import Plane
from seaproof.control.training_jobs import (
    create_training_job,
    describe_training_job,
    list_training_jobs,
    stop_training_job,
)
from seaproof.drivers.fake import Run
from seaproof.errors import ServiceError


def good(run: Run) -> int:
    run.log("loss: 0.75")
    run.log("loss: 0.25")
    (run.opt_ml / "model" / "weights").write_text("w")
    (run.opt_ml / "output" / "data" / "report").write_text("r")
    return 0


def fails(code: int, failure: str = "") -> Callable[[Run], int]:
    def program(run: Run) -> int:
        if failure:
            (run.opt_ml / "output" / "failure").write_text(failure)
        (run.opt_ml / "model" / "partial").write_text("p")
        return code

    return program


def test_a_job_goes_through_all_steps_and_leaves_its_artefacts(opened: Opener) -> None:
    plane = opened({"good": good})
    put(plane, "s3://bucket/in/train/a.csv", b"1,2")
    given = request(
        image="good",
        AlgorithmSpecification={"MetricDefinitions": [{"Name": "loss", "Regex": r"loss: (\S+)"}]},
        InputDataConfig=[channel("train", "s3://bucket/in/train/", ContentType="text/csv")],
        HyperParameters={"epochs": "3"},
        Tags=[{"Key": "team", "Value": "sea"}],
        VpcConfig={"SecurityGroupIds": ["sg"], "Subnets": ["net"]},
    )

    answer = create_training_job(plane, given)
    job = end_of(plane)

    assert answer == {"TrainingJobArn": "arn:aws:sagemaker:us-east-1:000000000000:training-job/job"}
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Completed"
    assert [(t["Status"], t["StatusMessage"]) for t in job["SecondaryStatusTransitions"]] == [
        ("Starting", "Preparing the instances for training"),
        ("Downloading", "Downloading the training image"),
        ("Training", "Training image download completed. Training in progress."),
        ("Uploading", "Uploading generated training model"),
        ("Completed", "Training job completed"),
    ]
    assert all(t["StartTime"] <= t["EndTime"] for t in job["SecondaryStatusTransitions"])
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"] <= job["LastModifiedTime"]
    assert job["BillableTimeInSeconds"] == job["TrainingTimeInSeconds"] >= 1
    assert job["ModelArtifacts"] == {"S3ModelArtifacts": "s3://bucket/out/job/output/model.tar.gz"}
    assert members(plane, "s3://bucket/out/job/output/model.tar.gz") == {"weights": b"w"}
    assert members(plane, "s3://bucket/out/job/output/output.tar.gz") == {"report": b"r"}
    assert [(m["MetricName"], m["Value"]) for m in job["FinalMetricDataList"]] == [("loss", 0.25)]
    assert job["HyperParameters"] == {"epochs": "3"}
    assert plane.store.tags(answer["TrainingJobArn"]) == {"team": "sea"}
    log, times = sorted((plane.folder / "logs" / "TrainingJobs" / "job").iterdir())
    assert log.read_text() == "loss: 0.75\nloss: 0.25\n"
    assert log.name.startswith("algo-1-")
    assert times == log.with_suffix(".times")
    assert any("VpcConfig" in message for message in events(plane))
    assert list((plane.folder / "workloads").iterdir()) == []
    assert plane.store.handles() == []
    assert plane.driver.recover() == []


def test_describe_has_the_shape_of_the_api_and_nothing_empty(opened: Opener) -> None:
    plane = opened({"good": good})
    shape = botocore.session.get_session().get_service_model("sagemaker").operation_model("DescribeTrainingJob")

    job = train(plane, request(image="good", HyperParameters={}, Tags=[], Environment={"A": "b"}))

    assert set(job) <= set(shape.output_shape.members)
    assert set(shape.output_shape.required_members) <= set(job)
    assert [key for key, value in job.items() if value in ({}, [], None, "")] == []


def test_the_container_sees_what_the_contract_promises(opened: Opener) -> None:
    seen: dict[str, Any] = {}

    def program(run: Run) -> int:
        seen["input"] = read_training(run.opt_ml)
        seen["raw"] = json.loads((run.opt_ml / "input/config/hyperparameters.json").read_text())
        seen["environment"] = run.environment
        seen["arguments"] = run.arguments
        seen["files"] = sorted(str(p.relative_to(run.opt_ml)) for p in run.opt_ml.rglob("*") if p.is_file())
        return 0

    plane = opened({"program": program})
    put(plane, "s3://bucket/in/a.csv")
    given = request(
        image="program",
        HyperParameters={"raw": "abc", "encoded": '"abc"', "flag": "true", "lr": "0.1"},
        Environment={"MODE": "fast"},
        InputDataConfig=[channel("train", "s3://bucket/in/", ContentType="text/csv")],
    )
    job = train(plane, given)

    assert seen["raw"] == {"raw": "abc", "encoded": '"abc"', "flag": "true", "lr": "0.1"}
    assert seen["input"].channels["train"].content_type == "text/csv"
    assert seen["input"].cluster.hosts == ("algo-1",)
    assert seen["arguments"] == ("train",)
    assert seen["environment"] == {
        "AWS_REGION": "us-east-1",
        "MODE": "fast",
        "TRAINING_JOB_NAME": "job",
        "TRAINING_JOB_ARN": job["TrainingJobArn"],
    }
    assert "input/data/train/a.csv" in seen["files"]


@pytest.mark.parametrize(
    ("algorithm", "entrypoint", "arguments"),
    [
        ({"ContainerEntrypoint": ["python", "x.py"]}, ("python", "x.py"), ()),
        ({"ContainerArguments": ["--fast"]}, None, ("--fast",)),
        ({"ContainerEntrypoint": ["python"], "ContainerArguments": ["x.py"]}, ("python",), ("x.py",)),
    ],
)
def test_entrypoint_and_arguments_replace_train(
    algorithm: Any, entrypoint: Any, arguments: Any, opened: Opener
) -> None:
    seen: list[Any] = []
    plane = opened({"program": lambda run: seen.append((run.workload.entrypoint, run.workload.arguments))})

    train(plane, request(image="program", AlgorithmSpecification=algorithm))

    assert seen == [(entrypoint, arguments)]


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("told", "AlgorithmError: ValueError: no column y, exit code: 255"),
        ("sentence", "AlgorithmError: Give it as a float, exit code: 1"),
        ("silent", "AlgorithmError: , exit code: 1"),
        ("fake:exit=127", "AlgorithmError: no executable `train` was found"),
        ("fake:exit=126", "AlgorithmError: `train` was found but cannot be executed"),
        ("fake:exit=139", "segmentation fault, SIGSEGV), exit code: 139"),
        ("fake:exit=137", "the program was killed (SIGKILL), most often because memory ran out, exit code: 137"),
        ("fake:out_of_memory", "AlgorithmError: memory ran out and the program was killed (SIGKILL), exit code: 137"),
        ("fake:start_fails", "AlgorithmError: the container could not be started"),
        ("fake:missing", "ClientError: "),
    ],
)
def test_a_job_that_fails_says_why(image: str, reason: str, opened: Opener) -> None:
    sentence = fails(1, "Give it as a float.\n")
    plane = opened({"told": fails(255, "ValueError: no column y\n"), "sentence": sentence, "silent": fails(1)})

    job = train(plane, request(image=image))

    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert reason in job["FailureReason"]
    assert job["SecondaryStatusTransitions"][-1]["StatusMessage"] == job["FailureReason"]
    assert list((plane.folder / "workloads").iterdir()) == []
    assert plane.driver.recover() == []


def test_a_long_failure_is_cut_for_describe_and_kept_whole_in_the_record(opened: Opener) -> None:
    plane = opened({"told": fails(255, "é" * 5000)})

    job = train(plane, request(image="told"))

    assert len(job["FailureReason"]) == 1024
    assert job["FailureReason"].endswith("é, exit code: 255")
    record = plane.store.get("training-job", "job")
    assert record is not None
    assert record.body["_failures"] == {"algo-1": "é" * 5000}


def test_what_a_failed_job_left_is_saved(opened: Opener) -> None:
    plane = opened({"told": fails(1)})

    job = train(plane, request(image="told"))

    assert secondaries(job) == ["Starting", "Downloading", "Training", "Uploading", "Failed"]
    assert members(plane, "s3://bucket/out/job/output/model.tar.gz") == {"partial": b"p"}


def test_missing_data_fails_the_job_in_the_words_of_the_platform(opened: Opener) -> None:
    plane = opened()

    job = train(plane, request(InputDataConfig=[channel("train", "s3://bucket/nothing/")]))

    assert job["FailureReason"].startswith(
        'ClientError: Data download failed:No S3 objects found under S3 URL "s3://bucket/nothing/"'
    )
    assert secondaries(job) == ["Starting", "Downloading", "Failed"]


def test_an_empty_model_folder_makes_no_archive(opened: Opener) -> None:
    plane = opened()

    train(plane, request())

    assert keys(plane, "s3://bucket/out/job/") == []


def test_without_compression_the_files_are_saved_one_by_one(opened: Opener) -> None:
    plane = opened({"good": good})

    job = train(plane, request(image="good", OutputDataConfig={"CompressionType": "NONE"}))

    assert job["ModelArtifacts"] == {"S3ModelArtifacts": "s3://bucket/out/job/output/model/"}
    assert keys(plane, "s3://bucket/out/job/") == [
        "s3://bucket/out/job/output/data/report",
        "s3://bucket/out/job/output/model/weights",
    ]


def test_a_link_out_of_the_folder_is_not_followed(opened: Opener, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("k")

    def program(run: Run) -> int:
        (run.opt_ml / "output" / "data").rmdir()
        (run.opt_ml / "output" / "data").symlink_to(tmp_path / "secret")
        (run.opt_ml / "output" / "failure").symlink_to(tmp_path / "secret" / "key")
        (run.opt_ml / "model" / "link").symlink_to("/etc/hostname")
        return 1

    plane = opened({"program": program})
    job = train(plane, request(image="program"))

    assert job["FailureReason"] == "AlgorithmError: , exit code: 1"
    assert keys(plane, "s3://bucket/out/") == ["s3://bucket/out/job/output/model.tar.gz"]
    assert any("hosting will refuse 'link'" in message for message in events(plane))


def running(plane: Plane) -> bool:
    return bool(describe(plane)["SecondaryStatus"] == "Training" and plane.driver.recover())


def test_stop_lets_the_program_save_its_model(opened: Opener) -> None:
    listens = threading.Event()

    def program(run: Run) -> int:
        stopped = run.trap()
        listens.set()
        stopped.wait(20)
        (run.opt_ml / "model" / "last").write_text("saved on SIGTERM")
        return 0

    plane = opened({"program": program}, stop_job_grace=20.0)
    create_training_job(plane, request(image="program"))
    until(lambda: running(plane) and listens.is_set(), "the job trains")

    assert stop_training_job(plane, {"TrainingJobName": "job"}) == {}
    assert describe(plane)["TrainingJobStatus"] == "Stopping"
    job = end_of(plane)

    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Stopped"
    assert secondaries(job) == ["Starting", "Downloading", "Training", "Stopping", "Uploading", "Stopped"]
    assert "FailureReason" not in job
    assert members(plane, "s3://bucket/out/job/output/model.tar.gz") == {"last": b"saved on SIGTERM"}


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace(opened: Opener) -> None:
    plane = opened(stop_job_grace=0.3)
    create_training_job(plane, request(image="fake:ignore_sigterm"))
    until(lambda: running(plane), "the job trains")
    began = time.monotonic()
    stop_training_job(plane, {"TrainingJobName": "job"})
    stop_training_job(plane, {"TrainingJobName": "job"})
    job = end_of(plane)

    assert job["TrainingJobStatus"] == "Stopped"
    assert 0.3 <= time.monotonic() - began < 30
    assert plane.driver.recover() == []


def test_what_has_ended_cannot_be_stopped(opened: Opener) -> None:
    plane = opened()
    train(plane, request())

    with pytest.raises(ServiceError) as caught:
        stop_training_job(plane, {"TrainingJobName": "job"})

    assert caught.value.code == "ValidationException"
    assert caught.value.message == "The request was rejected because the training job is in status Completed."


def test_the_time_limit_stops_a_job_and_keeps_its_model(opened: Opener) -> None:
    def program(run: Run) -> int:
        (run.opt_ml / "model" / "early").write_text("e")
        run.over.wait(20)
        return 0

    plane = opened({"program": program})
    job = train(plane, request(image="program", StoppingCondition={"MaxRuntimeInSeconds": 1}))

    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert secondaries(job) == ["Starting", "Downloading", "Training", "Uploading", "MaxRuntimeExceeded"]
    assert "FailureReason" not in job
    assert members(plane, "s3://bucket/out/job/output/model.tar.gz") == {"early": b"e"}


def test_names_are_unique_and_what_is_missing_is_not_found(opened: Opener) -> None:
    plane = opened()
    train(plane, request())
    with pytest.raises(ServiceError, match="already exists") as taken:
        create_training_job(plane, request())
    missing = []
    for operation in (describe_training_job, stop_training_job):
        with pytest.raises(ServiceError) as caught:
            operation(plane, {"TrainingJobName": "absent"})
        missing.append((caught.value.code, caught.value.message))

    assert taken.value.code == "ResourceInUse"
    assert missing == [("ValidationException", "Requested resource not found.")] * 2


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"AlgorithmSpecification": {"TrainingInputMode": "Pipe"}}, "Pipe"),
        ({"InputDataConfig": [channel("a", "s3://b/c", InputMode="Pipe")]}, "Pipe"),
        ({"InputDataConfig": [channel("a", "s3://b/c", S3DataType="AugmentedManifestFile")]}, "AugmentedManifestFile"),
        ({"InputDataConfig": [channel("a", "https://b/c")]}, "s3Uri"),
        ({"InputDataConfig": [channel("a", "s3://b/c"), channel("a", "s3://b/d")]}, "unique"),
        (
            {"InputDataConfig": [{"ChannelName": "a", "DataSource": {"FileSystemDataSource": {"FileSystemId": "fs"}}}]},
            "FileSystemDataSource",
        ),
        ({"ResourceConfig": {"InstanceGroups": [{"InstanceGroupName": "g"}]}}, "ResourceConfig.InstanceGroups"),
        ({"AlgorithmSpecification": {"AlgorithmName": "arn"}}, "AlgorithmSpecification.AlgorithmName"),
        ({"AlgorithmSpecification": {"TrainingImage": ""}}, "AlgorithmSpecification.TrainingImage"),
        ({"ResourceConfig": {"InstanceCount": 0}}, "ResourceConfig.InstanceCount"),
        ({"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/tmp/c"}}, "checkpointConfig.localPath"),
        ({"OutputDataConfig": {"S3OutputPath": "file:///x"}}, "OutputDataConfig.S3OutputPath"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(more: Any, named: str, opened: Opener) -> None:
    plane = opened()
    if more.get("AlgorithmSpecification", {}).get("TrainingInputMode") == "Pipe":
        more = {**more, "InputDataConfig": [channel("a", "s3://b/c")]}

    with pytest.raises(ServiceError, match=named) as caught:
        create_training_job(plane, request(**more))

    assert caught.value.code == "ValidationException"
    assert plane.store.records("training-job") == []


def test_jobs_are_listed_newest_first_and_by_status(opened: Opener) -> None:
    plane = opened()
    train(plane, request("one"))
    train(plane, request("two", image="fake:exit=1"))

    listed = list_training_jobs(plane, {})["TrainingJobSummaries"]
    failed = list_training_jobs(plane, {"StatusEquals": "Failed"})["TrainingJobSummaries"]

    assert [(j["TrainingJobName"], j["TrainingJobStatus"]) for j in listed] == [("two", "Failed"), ("one", "Completed")]
    assert [j["TrainingJobName"] for j in failed] == ["two"]
    assert all("TrainingEndTime" in j for j in listed)


def test_checkpoints_come_back_and_are_saved_while_it_runs(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seaproof.control.training_run.CHECKPOINT_SECONDS", 0.05)
    proceed: dict[str, bool] = {}

    def program(run: Run) -> int:
        folder = run.opt_ml / "checkpoints"
        proceed["restored"] = (folder / "step-1" / "state").read_text() == "one"
        (folder / "step-2").write_text("two")
        until(lambda: "saved" in proceed, "the test saw the checkpoint")
        (folder / "step-1" / "state").unlink()
        (folder / "step-3").write_text("three")
        return 0

    plane = opened({"program": program})
    put(plane, "s3://bucket/ckpt/step-1/state", b"one")
    put(plane, "s3://bucket/ckpt-other", b"not ours")
    create_training_job(plane, request(image="program", CheckpointConfig={"S3Uri": "s3://bucket/ckpt"}))
    until(lambda: "s3://bucket/ckpt/step-2" in keys(plane, "s3://bucket/ckpt/"), "the checkpoint is saved meanwhile")
    proceed["saved"] = True
    job = end_of(plane)

    assert job["TrainingJobStatus"] == "Completed"
    assert proceed["restored"]
    assert keys(plane, "s3://bucket/ckpt") == [
        "s3://bucket/ckpt-other",
        "s3://bucket/ckpt/step-2",
        "s3://bucket/ckpt/step-3",
    ]


def test_metrics_in_trouble_are_told_and_the_job_completes(opened: Opener) -> None:
    plane = opened({"good": good})
    definitions = [{"Name": "acc", "Regex": r"acc: (\S+)"}, {"Name": "loss", "Regex": r"loss: (\S+)"}]

    job = train(plane, request(image="good", AlgorithmSpecification={"MetricDefinitions": definitions}))

    assert [m["MetricName"] for m in job["FinalMetricDataList"]] == ["loss"]
    assert any("'acc'" in message for message in events(plane))


def test_network_isolation_and_memory_reach_the_driver(opened: Opener) -> None:
    seen: list[Any] = []
    plane = opened({"program": lambda run: seen.append((run.workload.isolated, run.workload.memory))}, memory=64)

    train(plane, request(image="program", EnableNetworkIsolation=True))

    assert seen == [(True, 64 * 1024 * 1024)]


def test_the_request_of_the_sdk_is_accepted_and_what_has_no_effect_is_told(opened: Opener) -> None:
    plane = opened({"good": good})
    put(plane, "s3://bucket/in/a")
    source = channel("training", "s3://bucket/in", S3DataDistributionType="FullyReplicated")
    given = request(
        image="good",
        InputDataConfig=[{**source, "CompressionType": "None", "RecordWrapperType": "None"}],
        HyperParameters={"sagemaker_program": '"train.py"', "epochs": "3"},
        ProfilerConfig={"S3OutputPath": "s3://bucket/", "DisableProfiler": False},
        DebugHookConfig={"S3OutputPath": "s3://bucket/", "CollectionConfigurations": []},
        EnableManagedSpotTraining=False,
        EnableInterContainerTrafficEncryption=False,
        RetryStrategy={"MaximumRetryAttempts": 1},
    )

    operations.run(plane, "CreateTrainingJob", given)
    end_of(plane)
    answer = operations.run(plane, "DescribeTrainingJob", {"TrainingJobName": "job"})
    listed = operations.run(plane, "ListTrainingJobs", {})

    assert answer["TrainingJobStatus"] == "Completed"
    assert answer["DebugHookConfig"]["S3OutputPath"] == "s3://bucket/"
    assert [job["TrainingJobName"] for job in listed["TrainingJobSummaries"]] == ["job"]
    assert events(plane)[0].endswith("DebugHookConfig, ProfilerConfig, ResourceConfig.VolumeSizeInGB, RetryStrategy")
