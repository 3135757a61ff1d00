"""What AWS would refuse is found in seaproof.toml before anything is made, and named by its key."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from ship_lab import ACCOUNT, FILE, REGION, Account, planned, project_in, refused

from seaproof.errors import ArchiveError, ProjectError, SeaproofError
from seaproof.settings import Settings
from seaproof.ship import blank, drawing, shipment

ENDPOINT, TRAINING = "[ship.endpoint]\n", "[ship.training]\n"
REFUSED_AT_ONCE = {
    'deployment = { strategy = "cannary" }': "endpoint.deployment.strategy is 'cannary': it is none of all-at-once, "
    "canary, linear; did you mean canary?",
    'deployment = { strategy = "canary", percent = 60 }': "percent is 60: a whole number from 5 to 50",
    'deployment = { strategy = "linear", percent = 5 }': "percent is 5: a whole number from 10 to 50",
    "deployment = { percent = 20 }": "percent is 20: it goes with canary and linear",
    "deployment = { wait = 3601 }": "wait is 3601: a whole number from 0 to 3600",
    'deployment = { alarms = "slow" }': "alarms is 'slow': a list of at most 10 names",
    "serverless = { memory = 2000 }": "memory is 2000: MB, one of 1024, 2048, 3072, 4096, 5120, 6144",
    "serverless = { concurrency = 201 }": "concurrency is 201: a whole number from 1 to 200",
    "serverless = { concurrency = 2, provisioned = 3 }": "provisioned is 3: a whole number from 1 to 2 of concurrency",
    "serverless = { memory = 2048 }\nautoscaling = { max = 3 }": "it does not go with [ship.endpoint.serverless]",
    "serverless = { memory = 2048 }\nasync = { concurrency = 3 }": "async is {'concurrency': 3}: it does not go with",
    "serverless = { memory = 2048 }\ncapture = { percentage = 3 }": "capture is {'percentage': 3}: it does not go with",
    '[ship.endpoint.serverless]\nmemory = 2048\n[ship.model]\nmode = "multi-model"': "ship.model.mode is 'multi-model'",
    '[[ship.endpoint.variants]]\nVariantName = "a"\n[[ship.endpoint.variants]]\nVariantName = "a"': "is ['a', 'a']: at",
    "serverless = {}": "it is empty; what can stand here: memory, concurrency, provisioned",
    "capture = { percentage = 101 }": "ship.endpoint.capture.percentage is 101: a whole number from 0 to 100",
    'capture = { destination = "bucket/x" }': "destination is 'bucket/x': an s3:// address",
    "autoscaling = { min = 3, max = 2 }": "autoscaling.min is 3: it is at most max, 2",
    "autoscaling = { min = 0, max = 2 }": "autoscaling.min is 0: a whole number from 1 on",
    "autoscaling = { invocations = -1 }": "invocations is -1: a number above 0",
    'async = { error_topic = "oops" }': "error_topic is 'oops': the ARN of an SNS topic",
    'instance_type = "m5.large"': "ship.endpoint.instance_type is 'm5.large': instance types begin with ml., such as "
    "ml.m5.large",
    "instance_count = 0": "a whole number from 1 on is expected here, not 0",
    "[ship.training]\nmax_wait = 90000": "max_wait is 90000: it goes with spot = true",
    "[ship.training]\nspot = true\nmax_wait = 60\nmax_runtime = 3600": "so at least max_runtime, 3600",
    '[ship.training]\nsubnets = ["subnet-1"]': "subnets is ['subnet-1']: it goes with security_groups",
    '[ship.training]\nsecurity_groups = ["sg-1"]': "it goes with subnets, which is missing",
    "[ship.training]\nretries = 31": "retries is 31: a whole number from 0 to 30",
    "[ship.training]\nmax_runtime = 9999999": "ship.training.max_runtime is 9999999: a whole number from 1 to 2419200",
    "[ship.transform]\nmax_payload = 60\nconcurrency = 2": "times max_payload, 60 MB, it is at most 100",
    '[ship.transform]\nsplit = "line"': "'line' is none of None, Line, RecordIO, TFRecord; did you mean Line?",
    '[ship.model]\nmode = "multimodel"': "did you mean multi-model?",
    "[stage.dev.endpoint]\ninstance_cuont = 2": "Did you mean instance_count?",
    "[stage.dev.endpoint]\nserverless = 2": "a table is expected here",
}
REFUSED_ABOVE = {
    'bucket = "My_Bucket"': "ship.bucket is 'My_Bucket': a bucket has 3 to 63 of a-z",
    'bucket = "a..b"': "ship.bucket is 'a..b'",
    'bucket = "192.168.1.1"': "ship.bucket is '192.168.1.1'",
    'tags = { "aws:mine" = "x" }': "ship.tags.aws:mine is 'x': a name of at most 128 characters, not aws:",
    'role = "arn:aws:iam::1:role/x"': "ship.role is 'arn:aws:iam::1:role/x'",
}


@pytest.mark.parametrize("written", REFUSED_AT_ONCE)
def test_a_value_that_aws_would_refuse_is_named_by_its_key(tmp_path: Path, written: str):
    text = FILE + (written if written.startswith("[") else ENDPOINT + written) + "\n"
    with pytest.raises(ProjectError) as caught:
        shipment.read(project_in(tmp_path / "p", text))

    assert REFUSED_AT_ONCE[written] in str(caught.value)
    assert "seaproof.toml" in caught.value.where


@pytest.mark.parametrize("written", REFUSED_ABOVE)
def test_a_name_that_aws_would_refuse_is_named_by_its_key(tmp_path: Path, written: str):
    with pytest.raises(ProjectError) as caught:
        shipment.read(project_in(tmp_path / "p", FILE.replace("[ship]", f"[ship]\n{written}", 1)))

    assert REFUSED_ABOVE[written] in str(caught.value)


def test_an_image_that_is_built_is_for_the_instances_that_run_it(tmp_path: Path):
    graviton = FILE.replace(f'uri = "{FILE.rpartition("uri = ")[2].strip()[1:-1]}"', "") + ENDPOINT
    graviton += 'instance_type = "ml.m6g.large"\n'
    with pytest.raises(ProjectError) as caught:
        shipment.read(project_in(tmp_path / "p", graviton))
    fitting = graviton.replace("[ship.image]", '[ship.image]\nplatform = "linux/arm64"')

    assert "it runs images for linux/arm64, and [ship.image] platform is linux/amd64" in str(caught.value)
    assert shipment.read(project_in(tmp_path / "q", fitting)).image.platform == "linux/arm64"


@pytest.mark.parametrize("name", ["Flowers", "f"])
def test_a_project_whose_name_ecr_does_not_take_is_told_to_name_a_repository(tmp_path: Path, name: str):
    text = FILE.partition("[ship.image]")[0].replace('name = "flowers"', f'name = "{name}"', 1)
    with pytest.raises(ProjectError) as caught:
        shipment.read(project_in(tmp_path / "p", text))
    named = shipment.read(project_in(tmp_path / "q", text + '[ship.image]\nrepository = "team/flowers"\n'))

    assert f"ship.image.repository is '{name}': ECR wants" in str(caught.value)
    assert named.image.repository == "team/flowers"


def test_a_value_of_a_stage_is_named_where_it_stands_and_all_are_named_at_once(tmp_path: Path):
    text = FILE + "[ship.endpoint]\ncapture = { percentage = 500 }\n"
    text += '[stage.prod.endpoint.deployment]\nstrategy = "linaer"\n'
    with pytest.raises(ProjectError) as caught:
        shipment.read(project_in(tmp_path / "p", text), "prod")

    assert "ship.endpoint.capture.percentage is 500" in str(caught.value)
    assert "stage.prod.endpoint.deployment.strategy is 'linaer'" in str(caught.value)


REFUSED_BY_THE_MODEL = {
    '[ship.endpoint]\ninstance_type = "ml.m5.lage"': (
        "[ship.endpoint] instance_type, else [endpoint] instance_type: 'ml.m5.lage' is none of the ",
        "like it are ml.m5.large",
    ),
    '[ship.training]\nkms_key = "???"\nvolume_size = 0x7fffffffff': (
        "values would be refused",
        "[ship.training] kms_key: '???' does not do: it must match",
        "[ship.training] volume_size: 549755813887 does not do: it must be a whole number",
    ),
    "[ship.training.request]\nRetryStrategy = { MaximumRetryAttempts = 31 }": (
        "[ship.training.request]: 31 does not do: it must be at most 30",
        "retryStrategy.maximumRetryAttempts",
    ),
    "[ship.endpoint.request]\nProductionVariants = 5": (
        "[[ship.endpoint.variants]]: 5 does not do: it must be a list",
    ),
    "[ship.training.request]\nCheckpointConfig = 5": ("[ship.training.request]: 5 does not do",),
    "[ship.endpoint.request]\nKmsKey = 5": ("[ship.endpoint.request]", "KmsKeyId"),
    '[[ship.endpoint.variants]]\nVariantName = "a"\nInitialVariantWeight = -1': ("[[ship.endpoint.variants]]: -1",),
    "[training.environment]\n" + 'K = "' + "x" * 600 + '"': ("[training.environment]", "xxx..."),
}


@pytest.mark.parametrize("written", REFUSED_BY_THE_MODEL)
def test_a_request_that_aws_would_refuse_is_found_when_the_plan_is_drawn(tmp_path: Path, written: str):
    with pytest.raises(ProjectError) as caught:
        _drawn(tmp_path, f"{FILE}{written}\n")

    assert not [words for words in REFUSED_BY_THE_MODEL[written] if words not in str(caught.value)]
    assert "Nothing was made" in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_an_image_of_another_region_is_found_when_the_plan_is_drawn(tmp_path: Path):
    with pytest.raises(ProjectError) as caught:
        _drawn(tmp_path, FILE.replace(".ecr.eu-west-1.", ".ecr.us-east-1."))

    assert "is of ECR in us-east-1, and eu-west-1 pulls from its own region alone" in str(caught.value)
    assert "[ship.image]: " in str(caught.value)


def test_an_image_is_built_before_anything_is_made(tmp_path: Path):
    project = project_in(
        tmp_path / "p",
        FILE.partition("[ship.image]")[0]
        + '[ship.image]\nplatform = "linux/arm64"\n[ship.endpoint]\ninstance_type = "ml.m6g.large"\n',
    )
    project.root.joinpath("Dockerfile").write_text("FROM scratch\n")
    draft = blank.whole(project, Settings(), shipment.read(project), ACCOUNT, REGION)
    plans = [drawing.image_alone(draft), drawing.training_alone(replace(draft, steps=[]))]

    assert [str(step.call) for step in plans[0].steps] == ["docker:Build", "ecr:CreateRepository", "docker:Push"]
    assert plans[0].steps[-1].call.request["platform"] == "linux/arm64"
    assert [str(step.call) for step in plans[1].steps][2:4] == ["docker:Push", "s3:CreateBucket"]


UNPACKABLE = {
    "data/train.csv": "source = 'data/train.csv'",
    "linked.tar.gz": "source = 'linked.tar.gz'",
    "linked": "source = 'linked'",
}


@pytest.mark.parametrize("source", UNPACKABLE)
def test_a_model_that_sagemaker_would_not_unpack_is_not_sent(tmp_path: Path, source: str):
    root = tmp_path / "p"
    (root / "linked").mkdir(parents=True)
    (root / "linked" / "away").symlink_to("/etc/hostname")
    with tarfile.open(root / "linked.tar.gz", "w:gz") as archive:
        archive.add(root / "linked" / "away", "away")
    with pytest.raises(ArchiveError) as caught:
        _drawn(tmp_path, f'{FILE}[ship.model]\nsource = "{source}"\n')

    assert "SageMaker would refuse it" in str(caught.value)
    assert UNPACKABLE[source] in caught.value.where
    assert caught.value.next_step


def _drawn(folder: Path, text: str) -> None:
    project = project_in(folder / "p", text)
    drawing.everything(blank.whole(project, Settings(), shipment.read(project), ACCOUNT, REGION))


@pytest.mark.parametrize("words", [["export", "terraform", "--account", ACCOUNT], ["prices"], ["plan"]])
def test_a_region_that_there_is_not_is_told_with_one_like_it(tmp_path: Path, words: list[str]):
    project = project_in(tmp_path / "p")
    said = refused(project.root, "http://127.0.0.1:9", *words, "--region", "eu-wst-1")

    assert "'eu-wst-1' is no region of AWS that the installed botocore knows. Did you mean `eu-west-1`" in said


def test_a_topic_that_is_none_is_refused(tmp_path: Path):
    where = ["--account", ACCOUNT, "--topic", "nonsense"]
    said = refused(project_in(tmp_path / "p").root, "http://127.0.0.1:9", "export", "step-functions", *where)

    assert "'nonsense': the ARN of an SNS topic" in said


def test_a_role_that_is_not_there_is_told_before_data_is_sent(tmp_path: Path, account: Account):
    named = FILE.replace("[ship]", f'[ship]\nrole = "arn:aws:iam::{ACCOUNT}:role/team/mine"')
    project = project_in(tmp_path / "p", named)

    with pytest.raises(SeaproofError, match=f"there is no role mine in account {ACCOUNT}"):
        planned(project, account)
    account.client("iam").create_role(RoleName="mine", Path="/team/", AssumeRolePolicyDocument="{}")
    assert [step.title for step in planned(project, account).steps if "role" in step.title] == []
