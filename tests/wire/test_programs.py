"""Programs as users write them for AWS, each a process of its own, run unmodified by `seaproof run`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from wire_lab import make_project

from venvs import python_with

PROGRAMS = Path(__file__).parent / "programs"


def run(root, python, program, **more):
    """What a program said, in a project of its own."""
    command = [
        sys.executable,
        "-m",
        "seaproof.cli",
        "run",
        "--driver",
        "process",
        "--",
        python,
        "-W",
        "ignore",
        program,
    ]
    done = subprocess.run(
        command, cwd=make_project(root), capture_output=True, text=True, timeout=300, check=False, **more
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_boto3(tmp_path):
    said = run(tmp_path, sys.executable, PROGRAMS / "with_boto3.py")

    assert said.splitlines() == [
        "job Completed",
        "factor 3",
        "log ['rows=3;']",
        "answer 42",
        "streamed 42",
        "refused 500",
        "later 15",
        "transformed ['3', '6']",
        "processed 2",
        "left []",
    ]

    def seaproof(*words):
        command = [sys.executable, "-m", "seaproof.cli", *words]
        env = {**os.environ, "SEAPROOF_DRIVER": "process", "SEAPROOF_PORT": "0"}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout

    listed = [line.split()[:3] for line in seaproof("jobs", "list").splitlines()[1:]]
    assert sorted(listed) == [
        ["job", "training", "Completed"],
        ["p", "processing", "Completed"],
        ["t", "transform", "Completed"],
    ]
    assert seaproof("jobs", "logs", "p").splitlines() == ["1", "2"]
    described = seaproof("jobs", "describe", "p")
    assert "/opt/ml/processing/out -> s3://" in described
    assert "processing-job/p" in described


def test_sagemaker_sdk_v2(tmp_path):
    said = run(tmp_path, python_with("sdk-v2"), PROGRAMS / "with_sdk_v2.py")

    assert "role arn:aws:iam::000000000000:role/seaproof" in said
    assert "rows=2;" in said  # the job's log, as fit() shows it
    assert "Training job completed" in said
    told = ("answer", "chain", "transformed", "one of", "script", "plain")
    assert [line for line in said.splitlines() if line.startswith(told)] == [
        "answer 42",
        "transformed ['3', '6']",
        "chain 18",
        "one of ['three.tar.gz']",
        "answer 15",
        "script 21",
        "plain 2",
    ]
    assert "adding 2 rows" in said  # the log, as the SDK shows it


@pytest.mark.slow  # its environment alone has 700 MB
def test_sagemaker_sdk_v3(tmp_path):
    said = run(tmp_path, python_with("sdk-v3"), PROGRAMS / "with_sdk_v3.py")

    assert "rows=2;" in said
    assert {"job Completed", "answer 42"} <= set(said.splitlines())
