"""The AWS CLI, version 1 from PyPI and version 2 from Debian, run by `seaproof run` without a change."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from wire_lab import ROLE, local_server, make_project

from venvs import python_with

DEBIAN = Path("/usr/bin/aws")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = make_project(tmp_path_factory.mktemp("cli"))
    with local_server(root):
        yield root


@pytest.fixture(params=[pytest.param("v1", marks=pytest.mark.slow), "v2"])
def aws(request, project):
    """Runs one command of the CLI, and gives what it said."""
    words = command_of(request.param)

    def run(*arguments, may_fail=False):
        command = [sys.executable, "-m", "seaproof.cli", "run", "--", *words, *arguments]
        # Debian's CLI is a Python of its own, to which this test's path means nothing.
        environ = {name: value for name, value in os.environ.items() if name != "AWS_PROFILE"}
        done = subprocess.run(
            command, cwd=project, capture_output=True, text=True, timeout=120, check=False, env=environ
        )
        assert may_fail or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run.version = request.param
    return run


def command_of(version):
    if version == "v1":
        python = python_with("aws-cli-v1")
        return [str(python), str(python.with_name("aws"))]
    said = (
        subprocess.run([DEBIAN, "--version"], capture_output=True, text=True, check=False) if DEBIAN.exists() else None
    )
    if said is None or not said.stdout.startswith("aws-cli/2"):
        if os.environ.get("CI"):
            pytest.fail("in CI Debian's awscli is there")
        pytest.skip("Debian's awscli is not installed")
    return [str(DEBIAN)]


def test_it_syncs_trains_deploys_invokes_and_reads_the_log(aws, project):
    name, version = f"by-{aws.version}", aws.version
    data = project / f"data-{version}"
    data.mkdir()
    (data / "rows.csv").write_text("1\n2\n")

    aws("s3", "mb", f"s3://{name}")
    aws("s3", "sync", str(data), f"s3://{name}/in")
    source = f"S3DataSource={{S3DataType=S3Prefix,S3Uri=s3://{name}/in}}"
    aws(
        *("sagemaker", "create-training-job", "--training-job-name", name, "--role-arn", ROLE),
        *("--algorithm-specification", "TrainingImage=times,TrainingInputMode=File"),
        *("--hyper-parameters", "factor=3"),
        *("--input-data-config", f"ChannelName=train,DataSource={{{source}}}"),
        *("--output-data-config", f"S3OutputPath=s3://{name}/out"),
        *("--resource-config", "InstanceType=ml.m5.large,InstanceCount=1,VolumeSizeInGB=1"),
        *("--stopping-condition", "MaxRuntimeInSeconds=60"),
    )
    aws("sagemaker", "wait", "training-job-completed-or-stopped", "--training-job-name", name, may_fail=True)
    job = json.loads(aws("sagemaker", "describe-training-job", "--training-job-name", name, "--output", "json"))
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    shutil.rmtree(data)
    aws("s3", "sync", f"s3://{name}/out", str(data))
    model = f"s3://{name}/out/{name}/output/model.tar.gz"
    aws(
        *("sagemaker", "create-model", "--model-name", name, "--execution-role-arn", ROLE),
        *("--primary-container", f"Image=times,ModelDataUrl={model}"),
    )
    variant = f"VariantName=all,ModelName={name},InstanceType=ml.m5.large,InitialInstanceCount=1"
    aws("sagemaker", "create-endpoint-config", "--endpoint-config-name", name, "--production-variants", variant)
    aws("sagemaker", "create-endpoint", "--endpoint-name", name, "--endpoint-config-name", name)
    aws("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", name)
    body = project / f"body-{version}"
    body.write_text("14")
    invoked = aws(
        *("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", name, "--content-type", "text/csv"),
        *("--body", f"file://{body}", *(["--cli-binary-format", "raw-in-base64-out"] if version == "v2" else [])),
        str(project / f"answer-{version}"),
    )

    group = "/aws/sagemaker/TrainingJobs"
    log = (
        aws("logs", "tail", group, "--log-stream-name-prefix", f"{name}/", "--since", "1h")
        if version == "v2"
        else aws("logs", "filter-log-events", "--log-group-name", group, "--log-stream-name-prefix", f"{name}/")
    )
    assert (data / name / "output" / "model.tar.gz").is_file()
    assert (project / f"answer-{version}").read_text() == "42"
    assert '"InvokedProductionVariant": "all"' in invoked
    assert re.search(r"rows=2;", log)
    aws("sagemaker", "delete-endpoint", "--endpoint-name", name)


@pytest.mark.slow
def test_large_files_and_pages_of_files_go_up_and_down(aws, project):
    name, folder = f"files-{aws.version}", project / f"files-{aws.version}"
    folder.mkdir()
    (folder / "big").write_bytes(os.urandom(9 * 1024 * 1024))
    for number in range(30):
        (folder / f"{number:02} ü+.txt").write_text(str(number))

    aws("s3", "mb", f"s3://{name}")
    aws("s3", "cp", "--recursive", "--quiet", str(folder), f"s3://{name}/")
    listed = aws("s3", "ls", f"s3://{name}/", "--page-size", "7").splitlines()
    aws("s3", "sync", "--quiet", f"s3://{name}/", str(folder) + "-back")
    aws("s3", "rb", "--force", f"s3://{name}")

    back = Path(str(folder) + "-back")
    assert len(listed) == 31
    assert {path.name: path.read_bytes() for path in back.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
