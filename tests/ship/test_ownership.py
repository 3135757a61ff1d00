"""What others have in the same account: it is neither replaced, nor trained on unseen, nor taken away."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
from ship_lab import (
    BUCKET,
    FILE,
    Account,
    fresh_copy,
    planned,
    project_in,
    record_of,
    seaproof,
    shipped,
    unshipped,
)

from seaproof.errors import SeaproofError
from seaproof.project import Project, load_project
from seaproof.ship import record

STAGED = FILE + "\n[stage.prod.endpoint]\ninstance_count = 2\n"
SCALED = FILE.replace("[ship.image]", "[ship.endpoint]\nautoscaling = { min = 1, max = 6 }\n[ship.image]")


def keys(account: Account) -> list[str]:
    found = account.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return [each["Key"] for each in found]


@pytest.mark.parametrize("name", ["precious.csv", "train.csv"])
def test_data_that_others_have_put_there_is_refused_by_its_name(project: Project, account: Account, name: str):
    s3 = account.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket=BUCKET, Key=f"flowers/data/training/{name}", Body=b"theirs")

    with pytest.raises(SeaproofError, match=f"{name} lies where .* seaproof did not put it there") as refused:
        shipped(project, account)

    assert "prefix = ..." in refused.value.next_step
    assert s3.get_object(Bucket=BUCKET, Key=f"flowers/data/training/{name}")["Body"].read() == b"theirs"


def test_data_that_another_checkout_uploaded_is_replaced_but_not_taken_away(
    project: Project, account: Account, tmp_path: Path
):
    shipped(project, account)
    other = project_in(tmp_path / "other", FILE.replace("[endpoint]", "[endpoint.environment]\nA = '1'\n[endpoint]"))
    (other.root / "data" / "train.csv").write_text("c,3\n")
    other_plan = planned(other, account)
    uploads = [step for step in other_plan.steps if step.source]

    assert [step.undo for step in uploads] == [None]


def test_each_stage_has_its_own_and_the_last_one_takes_what_they_share(tmp_path: Path, account: Account):
    project = project_in(tmp_path / "flowers", STAGED)
    first, second = shipped(project, account), shipped(project, account, "prod")
    still = [planned(project, account).steps, planned(project, account, "prod").steps]
    said = unshipped(project, account)
    alone = account.client("sagemaker").list_endpoints()["Endpoints"]
    model = account.client("sagemaker").list_models()["Models"]
    left = keys(account)
    unshipped(project, account, "prod")

    assert [first.names["endpoint"], second.names["endpoint"]] == ["flowers", "flowers-prod"]
    assert still == [(), ()]
    assert any("another stage stands (prod)" in line for line in said)
    assert [each["EndpointName"] for each in alone] == ["flowers-prod"]
    assert [each["ModelName"] for each in model] == [second.names["model"]]
    assert [key for key in left if key.startswith("flowers/data")] == []
    assert "flowers-prod/data/training/train.csv" in left
    assert account.client("s3").list_buckets()["Buckets"] == []


def test_a_stage_that_names_its_endpoint_and_prefix_has_those(tmp_path: Path, account: Account):
    text = STAGED.replace("[stage.prod.endpoint]", '[stage.prod]\nprefix = "p"\n[stage.prod.endpoint]\nname = "live"')
    plan = planned(project_in(tmp_path / "flowers", text), account, "prod")

    assert plan.names["endpoint"] == "live"
    assert any("/p/data/training/" in step.title for step in plan.steps)


def test_what_stays_is_kept_on_record_and_goes_when_it_can(project: Project, account: Account):
    shipped(project, account)
    s3 = account.client("s3")
    s3.put_object(Bucket=BUCKET, Key="theirs", Body=b"1")
    unshipped(project, account)
    kept = [made.title for made in record_of(project, account).made]
    s3.delete_object(Bucket=BUCKET, Key="theirs")
    unshipped(project, account)

    assert kept == [f"create bucket {BUCKET}"]
    assert record_of(project, account).made == []
    assert s3.list_buckets()["Buckets"] == []


def test_an_endpoint_that_others_changed_stays(project: Project, account: Account):
    plan = shipped(project, account)
    sagemaker = account.client("sagemaker")
    variants = [
        {"VariantName": "v", "ModelName": plan.names["model"], "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    ]
    sagemaker.create_endpoint_config(EndpointConfigName="theirs", ProductionVariants=variants)
    sagemaker.delete_endpoint(EndpointName="flowers")
    sagemaker.create_endpoint(EndpointName="flowers", EndpointConfigName="theirs")

    said = unshipped(project, account)

    assert [each["EndpointName"] for each in sagemaker.list_endpoints()["Endpoints"]] == ["flowers"]
    assert any("it serves theirs, which others have given it" in line for line in said)


def test_two_at_once_in_one_folder_are_told_of_each_other(project: Project, account: Account):
    path = record_of(project, account).path
    with record.alone(path):
        done = seaproof(project.root, account.url, "ship")
        looked = seaproof(project.root, account.url, "plan")
    after = seaproof(project.root, account.url, "unship", "--yes")

    assert done.returncode == 1
    assert f"process {os.getpid()} ships this stage just now" in done.stderr
    assert looked.returncode == 0
    assert after.returncode == 0


def test_scaling_that_the_file_no_longer_asks_for_goes(tmp_path: Path, account: Account):
    project = project_in(tmp_path / "flowers", SCALED)
    shipped(project, account)
    (project.root / "seaproof.toml").write_text(FILE)
    plan = planned(load_project(project.root / "seaproof.toml"), account)
    shipped(load_project(project.root / "seaproof.toml"), account)

    assert [step.call.operation for step in plan.steps] == ["DeleteScalingPolicy", "DeregisterScalableTarget"]
    assert planned(load_project(project.root / "seaproof.toml"), account).steps == ()


def test_instances_that_were_scaled_are_kept_by_an_update_and_those_that_the_file_changes_are_not(
    project: Project, account: Account
):
    shipped(project, account)
    scaled = [{"VariantName": "AllTraffic", "DesiredWeight": 1.0, "DesiredInstanceCount": 4}]
    account.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName="flowers", DesiredWeightsAndCapacities=scaled
    )
    other_type = project_in(project.root, FILE.replace("[ship.image]", "[endpoint.environment]\nA = '1'\n[ship.image]"))
    kept = planned(other_type, account).steps[-1].call.request
    more = project_in(project.root, FILE.replace("[ship.image]", "[ship.endpoint]\ninstance_count = 2\n[ship.image]"))
    changed = planned(more, account).steps[-1].call.request

    assert kept["RetainAllVariantProperties"] is True
    assert kept["ExcludeRetainedVariantProperties"] == [{"VariantPropertyType": "DataCaptureConfig"}]
    assert "RetainAllVariantProperties" not in changed


def test_many_models_are_sent_one_by_one_and_served_from_their_folder(tmp_path: Path, account: Account):
    text = FILE.replace("[ship.image]", '[ship.model]\nmode = "multi-model"\nsource = "models"\n[ship.image]')
    project = project_in(tmp_path / "flowers", text)
    (project.root / "models").mkdir()
    with pytest.raises(SeaproofError, match="holds no archive"):
        planned(project, account)
    for name in ("a", "b"):
        with tarfile.open(project.root / "models" / f"{name}.tar.gz", "w:gz") as archive:
            archive.add(project.root / "seaproof.toml", "model.txt")

    plan = planned(project, account)

    container = next(step for step in plan.steps if step.call.operation == "CreateModel").call.request[
        "PrimaryContainer"
    ]
    uploads = [step.call.request["Key"] for step in plan.steps if step.source]
    assert container["Mode"] == "MultiModel"
    assert container["ModelDataUrl"] == f"s3://{BUCKET}/{uploads[0].rpartition('/')[0]}/"
    assert [key.rpartition("/")[2] for key in uploads] == ["a.tar.gz", "b.tar.gz"]


def test_the_model_of_a_job_is_served_from_its_folder(tmp_path: Path, account: Account):
    text = FILE.replace("[ship.image]", '[ship.model]\nmode = "multi-model"\n[ship.image]')
    plan = planned(project_in(tmp_path / "flowers", text), account)

    request = next(step for step in plan.steps if step.call.operation == "CreateModel").call.request

    assert request["PrimaryContainer"]["ModelDataUrl"].endswith("/output/")


def test_linked_folders_are_sent_and_what_cannot_be_sent_is_told(project: Project, account: Account, tmp_path: Path):
    data = project.root / "data"
    fresh_copy(data, tmp_path / "elsewhere")
    (data / "linked").symlink_to(tmp_path / "elsewhere")
    sent = [step.title.split()[1] for step in planned(project, account).steps if step.source]
    (data / "nothing").symlink_to("nowhere")
    done = seaproof(project.root, account.url, "plan")

    assert sent == ["linked/train.csv", "train.csv"]
    assert done.returncode == 1
    assert "a link to nothing lies among the data" in done.stderr


def test_many_files_are_sent_side_by_side_and_taken_back_together(project: Project, account: Account):
    for number in range(30):
        (project.root / "data" / f"{number:02}.csv").write_text(f"a,{number}\n")
    shipped(project, account)
    there = [key for key in keys(account) if "/data/" in key]
    account.changes()
    unshipped(project, account)

    assert len(there) == 31
    assert account.changes().count("s3:DeleteObjects") == 2  # the data, and what the job left
