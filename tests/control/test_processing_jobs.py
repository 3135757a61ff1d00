"""Processing jobs: what the program finds, what is saved and when, how they end, and that they outlive a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from job_lab import ROLE, close_plane, get, keys, open_plane, put, until
from killed_coordinator import process_driver

from jobs import wait_for_end
from seaproof.api import operations
from seaproof.control.plane import Plane
from seaproof.control.processing_jobs import recover_processing_jobs
from seaproof.control.recovery import park
from seaproof.drivers.docker import DockerDriver
from seaproof.drivers.fake import Run
from seaproof.errors import ServiceError

BASE = "/opt/ml/processing"
# Adds up what it is given, says so, and waits for the file `go` where it is told to.
SCRIPT = """
import os, pathlib, sys, time
base = pathlib.Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml")
total = sum(int(line) for file in (base / "processing/input/rows").iterdir() for line in file.read_text().split())
(base / "processing/output/sum.txt").write_text(f"{os.environ['UNIT']} {total}")
print("added", sys.argv[1:], flush=True)
deadline = time.monotonic() + 60
while "wait" in sys.argv and not (base / "go").exists() and time.monotonic() < deadline:
    time.sleep(0.02)
(base / "output/message").write_text("two files")
"""


def an_input(name: str, uri: str, **more: Any) -> dict[str, Any]:
    s3 = {"S3Uri": uri, "LocalPath": f"{BASE}/input/{name}", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "S3Input": {**s3, **more}}


def an_output(name: str, path: str = f"{BASE}/output", mode: str = "EndOfJob") -> dict[str, Any]:
    s3 = {"S3Uri": f"s3://bucket/{name}", "LocalPath": path, "S3UploadMode": mode}
    return {"OutputName": name, "S3Output": s3}


def request(image: str = "program", hosts: int = 1, **more: Any) -> dict[str, Any]:
    cluster = {"InstanceType": "ml.m5.large", "InstanceCount": hosts, "VolumeSizeInGB": 1}
    return {
        "ProcessingJobName": "job",
        "RoleArn": ROLE,
        "AppSpecification": {"ImageUri": image},
        "ProcessingResources": {"ClusterConfig": cluster},
        "ProcessingOutputConfig": {"Outputs": [an_output("out")]},
        **more,
    }


def scripted(image: str, *arguments: str) -> dict[str, Any]:
    """A job as the SDK's ScriptProcessor makes one: its script is an input."""
    app = {
        "ImageUri": image,
        "ContainerEntrypoint": ["python3", f"{BASE}/input/code/script.py"],
        "ContainerArguments": ["--all", *arguments],
    }
    inputs = [an_input("code", "s3://bucket/code/script.py"), an_input("rows", "s3://bucket/rows/")]
    return request(AppSpecification=app, ProcessingInputs=inputs, Environment={"UNIT": "apples"})


def call(plane: Plane, operation: str, given: dict[str, Any] | None = None) -> dict[str, Any]:
    return operations.run(plane, operation, given or {"ProcessingJobName": "job"})


def end_of(plane: Plane) -> dict[str, Any]:
    wait_for_end(plane, "processing-job", "job")
    return call(plane, "DescribeProcessingJob")


def process(plane: Plane, given: dict[str, Any]) -> dict[str, Any]:
    call(plane, "CreateProcessingJob", given)
    return end_of(plane)


def put_script(plane: Plane) -> None:
    put(plane, "s3://bucket/code/script.py", SCRIPT.encode())
    put(plane, "s3://bucket/rows/a", b"1\n2\n")
    put(plane, "s3://bucket/rows/b", b"39\n")


def test_the_program_finds_its_inputs_and_its_files_and_what_it_leaves_is_saved(opened: Any) -> None:
    seen: dict[str, Any] = {}

    def program(run: Run) -> int:
        for name in ("processingjobconfig", "resourceconfig"):
            seen[name] = json.loads((run.opt_ml / "config" / f"{name}.json").read_text())
        seen["rows"] = (run.opt_ml / "processing/input/rows/deep/a.csv").read_text()
        seen["environment"], seen["arguments"] = run.environment["COLOUR"], run.arguments
        out = run.opt_ml / "processing" / "output"
        (out / "deep").mkdir()
        (out / "deep" / "b.csv").write_text("b")
        (out / "link").symlink_to("/etc/hostname")
        (run.opt_ml / "output" / "message").write_text("één rij")
        run.log("done")
        return 0

    plane = opened({"program": program})
    put(plane, "s3://bucket/in/deep/a.csv", b"a")
    given = request(ProcessingInputs=[an_input("rows", "s3://bucket/in/")], Environment={"COLOUR": "red"})
    given["AppSpecification"]["ContainerArguments"] = ["--fast"]
    job = process(plane, given)

    assert (job["ProcessingJobStatus"], job["ExitMessage"]) == ("Completed", "één rij")
    assert job["ProcessingStartTime"] <= job["ProcessingEndTime"]
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
    assert keys(plane, "s3://bucket/out") == ["s3://bucket/out/deep/b.csv"]
    assert seen["resourceconfig"] == {"current_host": "algo-1", "hosts": ["algo-1"]}
    assert seen["processingjobconfig"] == {
        **given,
        "ProcessingJobArn": job["ProcessingJobArn"],
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
    }
    assert (seen["rows"], seen["environment"], seen["arguments"]) == ("a", "red", ("--fast",))
    (log,) = (plane.folder / "logs" / "ProcessingJobs" / "job").glob("algo-1-*.log")
    assert log.read_text() == "done\n"
    assert list((plane.folder / "workloads").iterdir()) == []


def test_an_output_that_was_made_a_link_leads_nowhere(opened: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("not ours")

    def program(run: Run) -> int:
        for name in ("output", "stream"):
            (run.opt_ml / "processing" / name).rmdir()
            (run.opt_ml / "processing" / name).symlink_to(tmp_path / "secret")
        return 0

    plane = opened({"program": program})
    outputs = [an_output("out"), an_output("kept", f"{BASE}/stream", "Continuous")]
    job = process(plane, request(ProcessingOutputConfig={"Outputs": outputs}))

    assert job["ProcessingJobStatus"] == "Completed"
    assert keys(plane, "s3://bucket/") == []


def test_a_program_that_fails_leaves_its_message_and_only_what_was_continuous(opened: Any) -> None:
    def program(run: Run) -> int:
        for name in ("output", "stream"):
            (run.opt_ml / "processing" / name / "a").write_text(name)
        (run.opt_ml / "output" / "message").write_text("no rows in the file")
        return 3

    plane = opened({"program": program})
    outputs = [an_output("out"), an_output("kept", f"{BASE}/stream", "Continuous")]
    job = process(plane, request(ProcessingOutputConfig={"Outputs": outputs}))

    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: See job logs for more information, exit code: 3"
    assert job["ExitMessage"] == "no rows in the file"
    assert (keys(plane, "s3://bucket/out"), keys(plane, "s3://bucket/kept")) == ([], ["s3://bucket/kept/a"])
    told = [event.event["message"] for event in plane.store.events("processing-job", "job")]
    assert "out was not saved: EndOfJob outputs are those of jobs that complete" in told
    (summary,) = call(plane, "ListProcessingJobs", {"StatusEquals": "Failed"})["ProcessingJobSummaries"]
    assert (summary["ExitMessage"], summary["FailureReason"]) == (job["ExitMessage"], job["FailureReason"])
    assert call(plane, "ListProcessingJobs", {"StatusEquals": "Completed"})["ProcessingJobSummaries"] == []


@pytest.mark.parametrize(
    ("message", "status", "kept"),
    [
        (b"x" * 2000, "Completed", "x" * 1024),
        # The limit cuts the last character in two.
        (b"x" * 1023 + "é".encode(), "Completed", "x" * 1023),
        (b"caf\xe9", "Failed", None),
    ],
)
def test_the_exit_message_is_text_of_at_most_1024_bytes(opened: Any, message: bytes, status: str, kept: str) -> None:
    def program(run: Run) -> int:
        (run.opt_ml / "output" / "message").write_bytes(message)
        return 0

    job = process(opened({"program": program}), request())

    assert (job["ProcessingJobStatus"], job.get("ExitMessage")) == (status, kept)
    reason = "ClientError: The exit message in /opt/ml/output/message of algo-1 is not UTF-8: unexpected end of data"
    assert job.get("FailureReason") == (reason if status == "Failed" else None)


def test_continuous_outputs_are_saved_while_it_runs_and_a_stop_ends_it(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seaproof.control.processing_run.SAVE_SECONDS", 0.05)

    def program(run: Run) -> int:
        folder = run.opt_ml / "processing" / "stream"
        stopped = run.trap()
        (folder / "first").write_text("1")
        stopped.wait(20)
        (folder / "last").write_text("2")
        return 0

    plane = opened({"program": program}, stop_job_grace=20.0)
    outputs = [an_output("kept", f"{BASE}/stream", "Continuous")]
    call(plane, "CreateProcessingJob", request(ProcessingOutputConfig={"Outputs": outputs}))
    until(lambda: keys(plane, "s3://bucket/kept") == ["s3://bucket/kept/first"], "the first file is saved meanwhile")
    call(plane, "StopProcessingJob")
    job = end_of(plane)

    assert job["ProcessingJobStatus"] == "Stopped"
    assert "FailureReason" not in job
    assert keys(plane, "s3://bucket/kept") == ["s3://bucket/kept/first", "s3://bucket/kept/last"]
    with pytest.raises(ServiceError, match="because the processing job is in status Stopped"):
        call(plane, "StopProcessingJob")


def test_objects_are_dealt_out_to_hosts_and_their_outputs_are_joined(opened: Any) -> None:
    def program(run: Run) -> int:
        out = run.opt_ml / "processing" / "output"
        names = [file.name for file in (run.opt_ml / "processing/input/rows").iterdir()]
        (out / f"{run.workload.hostname}.txt").write_text(",".join(sorted(names)))
        return 0

    plane = opened({"program": program})
    for name in "abc":
        put(plane, f"s3://bucket/in/{name}", b"x")
    rows = an_input("rows", "s3://bucket/in/", S3DataDistributionType="ShardedByS3Key")
    job = process(plane, request(hosts=2, ProcessingInputs=[rows]))

    assert job["ProcessingJobStatus"] == "Completed"
    assert [get(plane, f"s3://bucket/out/algo-{n}.txt") for n in (1, 2)] == [b"a,c", b"b"]


def test_a_job_that_takes_too_long_is_stopped_and_one_without_data_fails(opened: Any) -> None:
    plane = opened({"program": lambda run: int(run.trap().wait(20) and 0)})
    slow = process(plane, request(StoppingCondition={"MaxRuntimeInSeconds": 1}))
    call(
        plane,
        "CreateProcessingJob",
        request(ProcessingJobName="empty", ProcessingInputs=[an_input("rows", "s3://bucket/nothing/")]),
    )
    empty = until(
        lambda: (
            (job := call(plane, "DescribeProcessingJob", {"ProcessingJobName": "empty"})).get("FailureReason") and job
        ),
        "it fails",
    )

    assert slow["ProcessingJobStatus"] == "Stopped"
    assert empty["FailureReason"].startswith("ClientError: Data download failed:No S3 objects found under S3 URL")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"ProcessingInputs": [an_input("a", "s3://b/k", LocalPath="/opt/ml/input/a")]}, "'/opt/ml/input/a' at 'proc"),
        ({"ProcessingInputs": [an_input("a", "s3://b/k", LocalPath=f"{BASE}/../x")]}, "must be a folder below"),
        (
            {"ProcessingInputs": [an_input("a", "s3://b/k", S3InputMode="Pipe")]},
            "ProcessingInputs.S3Input.S3InputMode=Pipe",
        ),
        (
            {"ProcessingInputs": [{"InputName": "a", "DatasetDefinition": {"LocalPath": "/x"}}]},
            "ProcessingInputs.Dataset",
        ),
        ({"ProcessingInputs": [an_input("a", "s3://b/k", S3CompressionType="Gzip")]}, "goes with the S3InputMode Pipe"),
        ({"ProcessingInputs": [an_input("a", "https://b/k")]}, "is no s3:// address"),
        ({"ProcessingInputs": [an_input("a", "s3://b/k")] * 2}, "Input names must be unique; 'a'"),
        ({"ProcessingInputs": [{"InputName": "a"}]}, "has no S3Input"),
        ({"ProcessingInputs": [an_input(str(n), "s3://b/k") for n in range(11)]}, "less than or equal to 10"),
        ({"ProcessingOutputConfig": {"Outputs": [an_output("a", "/tmp")]}}, "Value '/tmp' at 'processingOutputConfig"),
        ({"ProcessingOutputConfig": {"Outputs": [an_output("a")] * 2}}, "Output names must be unique; 'a'"),
        (
            {
                "ProcessingOutputConfig": {
                    "Outputs": [{"OutputName": "a", "FeatureStoreOutput": {"FeatureGroupName": "g"}}]
                }
            },
            "ProcessingOutputConfig.Outputs.FeatureStoreOutput",
        ),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 777601}}, "less than or equal to 777600"),
        ({"ProcessingResources": {"ClusterConfig": {"VolumeSizeInGB": 1}}}, "ClusterConfig.InstanceType is required"),
        ({"Environment": {"A": "x" * 257}}, "length less than or equal to 256"),
    ],
)
def test_what_cannot_be_is_refused_by_name(opened: Any, more: dict[str, Any], message: str) -> None:
    plane = opened()

    with pytest.raises(ServiceError, match=message) as caught:
        call(plane, "CreateProcessingJob", request(**more))

    assert caught.value.code == "ValidationException"
    assert call(plane, "ListProcessingJobs", {"MaxResults": 5})["ProcessingJobSummaries"] == []


def test_names_are_unique_and_a_job_that_is_not_there_is_named(opened: Any) -> None:
    plane = opened({"program": lambda run: 0})
    process(plane, request(Tags=[{"Key": "k", "Value": "v"}]))
    with pytest.raises(ServiceError, match="Processing job names must be unique") as taken:
        call(plane, "CreateProcessingJob", request())
    with pytest.raises(ServiceError, match="Could not find requested job with name: other"):
        call(plane, "DescribeProcessingJob", {"ProcessingJobName": "other"})

    assert taken.value.code == "ResourceInUse"
    arn = call(plane, "DescribeProcessingJob")["ProcessingJobArn"]
    assert call(plane, "ListTags", {"ResourceArn": arn})["Tags"] == [{"Key": "k", "Value": "v"}]


def test_a_graceful_end_of_the_server_stops_it(opened: Any) -> None:
    def program(run: Run) -> int:
        stopped = run.trap()
        run.log("runs")
        stopped.wait(20)
        return 0

    plane = opened({"program": program})
    call(plane, "CreateProcessingJob", request())
    until(lambda: list((plane.folder / "logs").rglob("algo-1-*.log")), "it runs")
    park(plane)

    assert end_of(plane)["ProcessingJobStatus"] == "Stopped"


def test_after_a_kill_the_living_container_is_adopted(tmp_path: Path) -> None:
    state, program = tmp_path / "state", tmp_path / "program"
    program.mkdir()
    plane = open_plane(state, driver=process_driver(state, program))
    put_script(plane)
    close_plane(plane)
    command = [sys.executable, str(Path(__file__).with_name("killed_coordinator.py")), str(state), str(program)]
    search = os.pathsep.join([*(p for p in sys.path if p), str(Path(__file__).parent)])
    command += ["never", json.dumps(scripted("trainer", "wait"))]
    root = state / "workloads" / "processing-job-algo-1"
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": search}) as process:
        try:
            until((root / "processing/output/sum.txt").exists, "the program has begun")
        finally:
            process.kill()
    plane = open_plane(state, driver=process_driver(state, program), stop_job_grace=10.0)
    try:
        adopted = [handle.name for handle in recover_processing_jobs(plane, plane.driver.recover())]
        (root / "go").touch()
        job = end_of(plane)

        assert adopted == ["processing-job-algo-1"]
        assert (job["ProcessingJobStatus"], job["ExitMessage"]) == ("Completed", "two files")
        assert get(plane, "s3://bucket/out/sum.txt") == b"apples 42"
    finally:
        close_plane(plane)


@pytest.mark.docker
def test_a_script_is_run_in_a_container(opened: Any, tmp_path: Path) -> None:
    plane = opened(driver=DockerDriver(tmp_path / "state"))
    put_script(plane)
    job = process(plane, scripted("seaproof-base:latest"))
    (log,) = (plane.folder / "logs" / "ProcessingJobs" / "job").glob("algo-1-*.log")

    assert (job["ProcessingJobStatus"], job.get("ExitMessage")) == ("Completed", "two files"), job
    assert get(plane, "s3://bucket/out/sum.txt") == b"apples 42"
    assert log.read_text() == "added ['--all']\n"
    assert list((plane.folder / "workloads").iterdir()) == []
