"""Shipping to an account, moto's: what is planned is done, done again is nothing, and taken back is all."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ship_lab import (
    BUCKET,
    FILE,
    KEY,
    SECRET,
    Account,
    Quiet,
    environment,
    leave_models,
    planned,
    project_in,
    record_of,
    seaproof,
    shipped,
    unshipped,
)

from seaproof.project import Project
from seaproof.ship import execute

FIRST = [
    "s3:CreateBucket",
    "iam:CreateRole",
    "iam:PutRolePolicy",
    "s3:PutObject",
    "sagemaker:CreateTrainingJob",
    "sagemaker:CreateModel",
    "sagemaker:CreateEndpointConfig",
    "sagemaker:CreateEndpoint",
]


def left(account: Account) -> dict[str, list[str]]:
    """What an account holds of what a plan makes, beside training jobs, which cannot be removed."""
    sagemaker, s3, iam = account.client("sagemaker"), account.client("s3"), account.client("iam")
    return {
        "endpoints": [e["EndpointName"] for e in sagemaker.list_endpoints()["Endpoints"]],
        "configs": [c["EndpointConfigName"] for c in sagemaker.list_endpoint_configs()["EndpointConfigs"]],
        "models": [m["ModelName"] for m in sagemaker.list_models()["Models"]],
        "buckets": [b["Name"] for b in s3.list_buckets()["Buckets"]],
        "roles": [r["RoleName"] for r in iam.list_roles()["Roles"]],
    }


def test_a_plan_is_the_calls_that_are_missing_and_makes_none_of_them(project: Project, account: Account):
    plan = planned(project, account)

    assert [str(step.call) for step in plan.steps] == FIRST
    assert account.changes() == []
    assert not any(left(account).values())


def test_what_is_planned_is_what_is_called(project: Project, account: Account):
    shipped(project, account)

    assert account.changes() == FIRST


def test_shipping_again_makes_no_call_that_changes_anything(project: Project, account: Account):
    shipped(project, account)
    account.changes()

    again = shipped(project, account)

    assert again.steps == ()
    assert account.changes() == []


NEW_ENDPOINT = ["sagemaker:CreateEndpointConfig", "sagemaker:UpdateEndpoint"]
NEW_MODEL = ["sagemaker:CreateModel", *NEW_ENDPOINT]


@pytest.mark.parametrize(
    ("before", "after", "calls"),
    [
        ("depth = 3", "depth = 4", ["sagemaker:CreateTrainingJob", *NEW_MODEL]),
        ("[ship]", "[endpoint.environment]\nMODE = 1\n[ship]", NEW_MODEL),
        ("[ship]", "[ship.endpoint]\ninstance_count = 2\n[ship]", NEW_ENDPOINT),
        (
            "[ship.image]",
            '[ship.training]\nkms_key = "1234abcd"\n[ship.image]',
            ["iam:PutRolePolicy", "sagemaker:CreateTrainingJob", *NEW_MODEL],
        ),
    ],
)
def test_one_changed_value_takes_exactly_the_calls_it_needs(
    project: Project, account: Account, before: str, after: str, calls: list[str]
):
    shipped(project, account)
    changed = project_in(project.root, FILE.replace(before, after))

    assert [str(step.call) for step in planned(changed, account).steps] == calls


def test_changed_data_is_uploaded_alone_and_trained_on(project: Project, account: Account):
    (project.root / "data" / "same.csv").write_text("s,0\n")
    (project.root / "data" / "gone.csv").write_text("g,0\n")
    shipped(project, account)
    (project.root / "data" / "train.csv").write_text("a,1\nb,3\n")
    (project.root / "data" / "gone.csv").unlink()

    plan = planned(project, account)

    assert [step.title for step in plan.steps[:3]] == [
        f"upload train.csv to s3://{BUCKET}/flowers/data/training/",
        f"remove s3://{BUCKET}/flowers/data/training/gone.csv, which is no longer here",
        f"run training job {plan.names['training job']}",
    ]


def test_unshipping_leaves_nothing_and_touches_nothing_else(project: Project, account: Account):
    s3 = account.client("s3")
    s3.create_bucket(Bucket="others", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="others", Key="theirs", Body=b"1")
    account.client("iam").create_role(RoleName="theirs", AssumeRolePolicyDocument="{}")
    shipped(project, account)

    unshipped(project, account)

    assert left(account) == {"endpoints": [], "configs": [], "models": [], "buckets": ["others"], "roles": ["theirs"]}
    assert s3.get_object(Bucket="others", Key="theirs")["Body"].read() == b"1"
    assert record_of(project, account).made == []


def test_a_bucket_that_others_use_meanwhile_stays(project: Project, account: Account):
    shipped(project, account)
    account.client("s3").put_object(Bucket=BUCKET, Key="theirs", Body=b"1")

    said = unshipped(project, account)

    assert left(account)["buckets"] == [BUCKET]
    assert any("others have things in it" in line for line in said)


def test_what_was_there_before_is_used_and_stays(project: Project, account: Account):
    account.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})

    shipped(project, account)
    unshipped(project, account)

    assert left(account)["buckets"] == [BUCKET]


def test_a_job_whose_model_was_removed_is_run_again_under_another_name(project: Project, account: Account):
    first = shipped(project, account)
    unshipped(project, account)

    second = shipped(project, account)

    assert second.names["training job"] == f"{first.names['training job']}-2"


# The command, killed as it writes a text: nobody else is quick enough for that wherever a processor is waited for.
KILLED_BY_ITS_WORDS = """
import io, os, signal, sys

class Fatal(io.TextIOWrapper):
    said, words = "", sys.argv.pop(1)

    def write(self, text):
        count = super().write(text)
        self.said += text
        if self.words in self.said:
            self.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return count

sys.stderr = Fatal(sys.stderr.buffer, encoding="utf-8", line_buffering=True)
from seaproof.cli import main
main()
"""


@pytest.mark.parametrize("killed_at", [1, 2, 4, 5, 7, 8])
def test_killed_in_the_middle_and_shipped_again_it_is_whole(project: Project, account: Account, killed_at: int):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_BY_ITS_WORDS, f" {killed_at}/8 ", "ship"],
        cwd=project.root,
        env=environment(account.url),
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    leave_models(account)
    plan = shipped(project, account)
    whole = left(account)
    unshipped(project, account)

    assert whole["endpoints"] == ["flowers"]
    assert [whole["models"], whole["configs"]] == [[plan.names["model"]], [plan.names["endpoint config"]]]
    assert not any(left(account).values())


def test_the_commands_say_what_they_do_and_never_a_credential(project: Project, account: Account):
    said = []
    for words in (
        ["plan"],
        ["plan", "--json"],
        ["ship", "--dry-run"],
        ["ship"],
        ["plan"],
        ["role"],
        ["unship", "--yes"],
    ):
        done = seaproof(project.root, account.url, *words)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout + done.stderr)
    texts = [*said, *(path.read_text("utf-8", "replace") for path in _files(project.root / ".seaproof"))]

    assert "1. create bucket" in said[0]
    assert json.loads(said[1])["names"]["endpoint"] == "flowers"
    assert said[2] == said[0]
    assert "8/8  create endpoint flowers" in said[3]
    assert "things are removed" in said[6]
    assert not [text for text in texts if KEY in text or SECRET in text or SECRET.split("/")[0] + "/" in text]


def test_a_secret_in_the_environment_of_a_container_is_hidden_in_plans(tmp_path: Path, account: Account):
    text = FILE.replace(
        '[endpoint]\nname = "flowers"',
        '[endpoint]\nname = "flowers"\n[endpoint.environment]\nDB_PASSWORD = "hunter2"\nMODE = "fast"',
    )
    project = project_in(tmp_path / "p", text)

    shown = json.dumps(planned(project, account).as_json())

    assert "hunter2" not in shown
    assert '"MODE": "fast"' in shown


def test_train_leaves_a_file_whose_last_line_is_the_job(project: Project, account: Account):
    done = seaproof(
        project.root, account.url, "train", "--target", "aws", "-H", "depth=9", "--out", "training_output.txt"
    )
    lines = (project.root / "training_output.txt").read_text().splitlines()
    job = account.client("sagemaker").describe_training_job(TrainingJobName=lines[-1])

    assert done.returncode == 0, done.stderr
    assert job["HyperParameters"]["depth"] == "9"
    assert any("run training job" in line for line in lines)


def test_a_stage_lays_its_own_values_over_the_rest(tmp_path: Path, account: Account):
    text = (
        FILE
        + '[stage.prod]\nbucket = "prod-bucket"\n[stage.prod.endpoint]\nname = "flowers-prod"\ninstance_count = 3\n'
    )
    project = project_in(tmp_path / "p", text)

    plan = shipped(project, account, "prod")
    config = account.client("sagemaker").describe_endpoint_config(EndpointConfigName=plan.names["endpoint config"])

    assert plan.names["endpoint"] == "flowers-prod"
    assert plan.names["bucket"] == "prod-bucket"
    assert config["ProductionVariants"][0]["InitialInstanceCount"] == 3
    assert planned(project, account).names["bucket"] == BUCKET


def test_a_folder_is_packed_the_same_each_time_and_served(tmp_path: Path, account: Account):
    project = project_in(tmp_path / "p", FILE + '[ship.model]\nsource = "model"\n')
    (project.root / "model").mkdir()
    (project.root / "model" / "weights.bin").write_bytes(b"123")

    plan = planned(project, account)

    execute.execute(plan, account.target, record_of(project, account), Quiet())
    (project.root / "model" / "weights.bin").touch()

    assert "sagemaker:CreateTrainingJob" not in [str(step.call) for step in plan.steps]
    assert planned(project, account).steps == ()


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
