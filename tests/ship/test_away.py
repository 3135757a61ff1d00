"""`seaproof train` and `transform` in an account: every option is honoured there or refused, and Ctrl-C is answered."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ship_lab import BUCKET, Account, environment, planned, project_in, refused, seaproof, shipped

from seaproof.project import Project

AWS = ("--target", "aws")
REFUSED = {
    "train --driver process": "--driver does not go with --target aws",
    "train --name bad_name": "'bad_name' is no name that SageMaker takes (--name)",
    "train --retry -1": "-1 is not in the range 0<=x<=30",
    "transform data --job j --quarantine": "--quarantine does not go with --target aws",
    "transform data --job j --repeat-header": "--repeat-header does not go with --target aws",
    "transform data --job j --engine threads": "--engine does not go with --target aws",
    "transform data --job j --name bad_name": "'bad_name' is no name that SageMaker takes (--name)",
    "transform data --job j --retry 31": "31 is not in the range 0<=x<=30",
    "transform data --out HERE/empty.txt": "the file is empty, and the name of the training job",
    "transform data --job nosuch": "'nosuch' is no training job there",
}


@pytest.mark.parametrize("words", REFUSED)
def test_an_option_that_means_nothing_there_is_refused(project: Project, account: Account, words: str):
    (project.root / "empty.txt").write_text("")
    said = refused(project.root, account.url, *words.replace("HERE", str(project.root)).split(), *AWS)

    assert REFUSED[words] in said


@pytest.mark.parametrize("words", ["train --region eu-west-1", "transform data --profile x"])
def test_an_option_of_an_account_is_refused_on_this_machine(project: Project, words: str):
    assert "goes with --target or --stage" in refused(project.root, "http://127.0.0.1:9", *words.split())


def test_what_is_asked_of_a_training_job_is_what_it_is(project: Project, account: Account):
    words = ("train", *AWS, "--name", "mine-1", "--instances", "3", "--detach", "--out", "said/out.txt")
    first = seaproof(project.root, account.url, *words)
    again = refused(project.root, account.url, *words)
    job = account.client("sagemaker").describe_training_job(TrainingJobName="mine-1")

    assert (first.returncode, first.stdout) == (0, "mine-1\n")
    assert job["ResourceConfig"]["InstanceCount"] == 3
    assert (project.root / "said" / "out.txt").read_text().splitlines()[-1] == "mine-1"
    assert "there is a job mine-1 already" in again
    assert "Say another --name" in again


def test_what_is_asked_of_a_transform_job_is_what_it_is(project: Project, account: Account):
    trained = shipped(project, account).names["training job"]
    options = (
        *("--name", "mine-t", "--instances", "2", "--env", "MODE=fast", "--output", "s3://elsewhere/predicted"),
        *("--content-type", "application/jsonlines", "--accept", "text/csv", "--split", "None", "--single", "--join"),
        *("--max-payload", "2", "--concurrent", "3", "--timeout", "60", "--retries", "1", "--gzip"),
    )
    done = seaproof(project.root, account.url, "transform", "data", *AWS, "--job", trained, *options, "--json")
    job = account.client("sagemaker").describe_transform_job(TransformJobName="mine-t")
    policy = account.client("iam").get_role_policy(RoleName="seaproof-flowers", PolicyName="seaproof")["PolicyDocument"]
    there = json.loads(done.stdout)
    left = account.client("s3").list_buckets()["Buckets"]

    assert done.returncode == 0, done.stderr
    assert there["predictions"] == job["TransformOutput"]["S3OutputPath"] == "s3://elsewhere/predicted/"
    assert there["files"] == []
    assert job["TransformResources"]["InstanceCount"] == 2
    assert (job["Environment"], job["BatchStrategy"]) == ({"MODE": "fast"}, "SingleRecord")
    assert (job["MaxPayloadInMB"], job["MaxConcurrentTransforms"]) == (2, 3)
    assert job["TransformInput"]["CompressionType"] == "Gzip"
    assert (job["TransformInput"]["ContentType"], job["TransformInput"]["SplitType"]) == (
        "application/jsonlines",
        "None",
    )
    assert (job["TransformOutput"]["Accept"], job["DataProcessing"]["JoinSource"]) == ("text/csv", "Input")
    assert job["ModelClientConfig"] == {"InvocationsTimeoutInSeconds": 60, "InvocationsMaxRetries": 1}
    assert "arn:aws:s3:::elsewhere/predicted/*" in [s["Resource"] for s in _statements(policy)]
    assert not (project.root / "s3:").exists()
    assert "elsewhere" not in [bucket["Name"] for bucket in left]


def test_a_transform_that_left_nothing_is_no_success(project: Project, account: Account):
    job = shipped(project, account).names["training job"]
    said = refused(project.root, account.url, "transform", "data", *AWS, "--job", job)

    assert "is Completed, and nothing lies at s3://" in said


def _statements(policy: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = policy["Statement"]
    return found


def test_a_job_whose_model_is_gone_is_run_again_and_the_plan_says_why(project: Project, account: Account):
    first = shipped(project, account).names["training job"]
    account.client("s3").delete_object(Bucket=BUCKET, Key=f"flowers/jobs/{first}/output/model.tar.gz")
    titles = [step.title for step in planned(project, account).steps]

    assert f"run training job {first}-2 (again: the model that {first} left is gone)" in titles


def test_an_endpoint_that_is_not_there_is_told_with_those_that_are(project: Project, account: Account):
    shipped(project, account)
    wanted = ("promote b --endpoint flowrs", "rollback --endpoint flowrs", "proxy flowrs --port 0")
    told = [refused(project.root, account.url, *words.split()) for words in wanted]

    for said in told:
        assert "there is no endpoint flowrs in account 123456789012, region eu-west-1" in said
        assert "There is flowers. `seaproof ship` brings up that of a stage" in said


def test_an_endpoint_of_anybodys_is_reached_from_a_folder_that_is_no_project(account: Account, tmp_path: Path):
    told = [
        refused(tmp_path, account.url, *words.split(), "--region", "eu-west-1")
        for words in ("proxy flowrs --port 0", "promote b --endpoint flowrs", "promote b")
    ]

    assert "there is no endpoint flowrs in account 123456789012, region eu-west-1" in told[0]
    assert "there is no endpoint flowrs in account 123456789012, region eu-west-1" in told[1]
    assert "there is no seaproof.toml" in told[2]


def test_a_slip_in_the_file_and_a_folder_that_is_none_are_told_with_what_to_do(project: Project, account: Account):
    (project.root / ".seaproof").write_text("a file where the state should be")
    folder = seaproof(project.root, account.url, "ship", "--json")
    (project.root / "seaproof.toml").write_text("[ship]\nregion = eu-west-1\n")
    slip = seaproof(project.root, account.url, "plan", "--json")
    told = [json.loads(done.stderr)["error"] for done in (folder, slip)]

    assert "move it away" in told[0]["next_step"]
    assert "a text stands in quotes" in told[1]["next_step"]


SLOW = """
[project]
name = "slow"
[images.slow]
train = ["python3", "-c", "import time; print('it runs', flush=True); time.sleep(120)"]
[training.channels]
training = "data"
[ship]
target = "local"
"""


def test_ctrl_c_stops_a_job_that_was_trained_and_leaves_one_that_was_shipped(tmp_path: Path):
    root = project_in(tmp_path / "p", SLOW).root
    try:
        trained, said = _interrupted(root, "train", "--target", "local", "--out", "out.txt")
        out = (root / "out.txt").read_text().splitlines()
        shipped, left = _interrupted(root, "ship")
        (runs,) = re.findall(r"training job (\S+) runs on", left)
        running = json.loads(_seaproof(root, "jobs", "describe", runs, "--json"))
        _seaproof(root, "jobs", "stop", runs)
    finally:
        _seaproof(root, "down")

    assert (trained, shipped) == (130, 130), said + left
    assert f"stopping {out[-1]}; Ctrl-C again leaves without waiting" in said
    assert [line for line in out if line.startswith("status  Stopped")]
    assert running["TrainingJobStatus"] == "InProgress"
    assert (
        f"training job {runs} runs on. `seaproof ship` goes on from here; `seaproof jobs stop {runs}` stops it" in left
    )


def _interrupted(root: Path, *words: str) -> tuple[int, str]:
    """A command that is sent Ctrl-C once its job's log is there: its code, and what it said."""
    with subprocess.Popen(
        [sys.executable, "-m", "seaproof.cli", *words],
        cwd=root,
        env=environment("") | {"AWS_ENDPOINT_URL": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        said = ""
        for line in process.stderr:
            said += line
            if "it runs" in line:
                process.send_signal(signal.SIGINT)
                break
        said += process.stderr.read()
    return process.returncode, said


def _seaproof(root: Path, *words: str) -> str:
    return seaproof(root, "", *words).stdout
