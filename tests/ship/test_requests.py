"""Every request that a plan can hold is one that the service's own model takes, whatever is set."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from ship_lab import ACCOUNT, FILE, REGION, Account, draft, planned, project_in

from seaproof.api import validate
from seaproof.errors import ProjectError
from seaproof.ship import drawing, endpoint, role, serving_model, shipment, transform

OPTIONS = {
    "spot": "[ship.training]\nspot = true\nmax_wait = 90000\ncheckpoints = true\n",
    "vpc": '[ship.training]\nsubnets = ["subnet-1"]\nsecurity_groups = ["sg-1"]\nkms_key = "k"\n',
    "isolated": "[ship.training]\nnetwork_isolation = true\n",
    "own words": "[ship.training.request]\nRetryStrategy = { MaximumRetryAttempts = 3 }\n",
    "serverless": "[ship.endpoint.serverless]\nmemory = 4096\nconcurrency = 20\nprovisioned = 1\n",
    "async": '[ship.endpoint.async]\nconcurrency = 4\nerror_topic = "arn:aws:sns:eu-west-1:123456789012:e"\n',
    "capture": "[ship.endpoint.capture]\npercentage = 20\n",
    "scaling": "[ship.endpoint.autoscaling]\nmin = 1\nmax = 4\ninvocations = 70\n",
    "variants": '[[ship.endpoint.variants]]\nVariantName = "a"\n[[ship.endpoint.variants]]\nVariantName = "b"\n',
    "multi-model": '[ship.model]\nmode = "multi-model"\nsource = "s3://models/all/"\n',
    "pipeline": '[ship.model]\nmode = "pipeline"\n[[ship.model.containers]]\nContainerHostname = "first"\n'
    '[[ship.model.containers]]\nContainerHostname = "second"\nImage = "other:1"\n',
    "direct": '[ship.model]\nmode = "direct"\n[[ship.model.containers]]\nContainerHostname = "first"\n'
    '[[ship.model.containers]]\nContainerHostname = "second"\n',
    "no model": '[ship.model]\nsource = "none"\n',
}


@pytest.mark.parametrize("option", OPTIONS)
def test_the_service_takes_every_request_of_a_plan(tmp_path: Path, account: Account, option: str):
    plan = planned(project_in(tmp_path / "p", FILE + OPTIONS[option]), account)
    checked = [step for step in plan.steps if step.call.service != "s3"]
    for step in checked:
        validate.check(step.call.operation, dict(step.call.request), step.call.service)

    assert len(checked) >= 5


@pytest.mark.parametrize(
    ("deployment", "expected"),
    [
        ({}, {}),
        ({"strategy": "all-at-once", "wait": 60}, {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 60}),
        (
            {"strategy": "canary", "percent": 5, "wait": 60, "alarms": ["slow"]},
            {
                "Type": "CANARY",
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 5},
                "WaitIntervalInSeconds": 60,
            },
        ),
        (
            {"strategy": "linear", "percent": 25, "max_seconds": 3600},
            {
                "Type": "LINEAR",
                "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 25},
                "WaitIntervalInSeconds": 300,
            },
        ),
    ],
)
def test_an_update_shifts_traffic_as_it_is_told(deployment: dict[str, object], expected: dict[str, object]):
    made = endpoint.deployment(shipment.EndpointShape(deployment=deployment))
    request = {"EndpointName": "e", "EndpointConfigName": "c", **made}
    validate.check("UpdateEndpoint", request)
    blue_green = made.get("DeploymentConfig", {}).get("BlueGreenUpdatePolicy", {})

    assert blue_green.get("TrafficRoutingConfiguration", {}) == expected
    assert ("AutoRollbackConfiguration" in made.get("DeploymentConfig", {})) == ("alarms" in deployment)


def test_a_pipeline_has_its_containers_in_order(tmp_path: Path, account: Account):
    project = project_in(tmp_path / "p", FILE + OPTIONS["pipeline"])

    request = serving_model.create_request(draft(project, account), "s3://b/model.tar.gz")

    assert [c["ContainerHostname"] for c in request["Containers"]] == ["first", "second"]
    assert [c["Image"] for c in request["Containers"]][1] == "other:1"
    assert request["InferenceExecutionConfig"] == {"Mode": "Serial"}


def test_a_transform_job_is_as_the_stage_says(tmp_path: Path, account: Account):
    text = FILE + '[ship.transform]\ninput_filter = "$[:-1]"\njoin = "Input"\nmax_payload = 20\n'
    project = project_in(tmp_path / "p", text)
    request = transform.job_request(draft(project, account), "s3://b/in/", "m")
    request = {**request, "TransformJobName": "t"}
    request["TransformOutput"] = {**request["TransformOutput"], "S3OutputPath": "s3://b/out"}
    validate.check("CreateTransformJob", request)

    assert request["DataProcessing"] == {"InputFilter": "$[:-1]", "JoinSource": "Input"}
    assert request["MaxPayloadInMB"] == 20


def test_the_role_allows_what_the_plan_needs_and_no_more(tmp_path: Path, account: Account):
    plain = role.policy(draft(project_in(tmp_path / "a"), account))
    rich = role.policy(draft(project_in(tmp_path / "b", FILE + OPTIONS["vpc"] + OPTIONS["async"]), account))
    sids = [statement["Sid"] for statement in plain["Statement"]]
    more = [statement["Sid"] for statement in rich["Statement"] if statement["Sid"] not in sids]
    objects = plain["Statement"][0]

    assert sids == ["Objects", "Bucket", "Image", "Registry", "Logs", "Metrics"]
    assert more == ["Key", "Network", "Topics"]
    assert objects["Resource"] == f"arn:aws:s3:::seaproof-{REGION}-{ACCOUNT}/flowers/*"
    everywhere = [s["Sid"] for s in rich["Statement"] if s["Resource"] == "*"]
    assert everywhere == ["Registry", "Metrics", "Network"]  # what AWS cannot tell apart
    assert "*" not in {action for s in rich["Statement"] for action in s["Action"]}


def test_what_ships_needs_every_call_that_a_plan_makes(tmp_path: Path, account: Account):
    text = FILE.split("[ship.image]")[0] + OPTIONS["scaling"]
    project = project_in(tmp_path / "p", text)
    (project.root / "Dockerfile").write_text("FROM scratch\n")
    made = draft(project, account)
    allowed = {action for statement in role.shipping(made)["Statement"] for action in statement["Action"]}
    plan = drawing.everything(made)
    needed = {str(step.call) for step in plan.steps if step.call.service != "docker"}

    assert needed - allowed == set()


BROKEN = {
    "an unknown key": ("[ship]", '[ship]\nregoin = "x"', "nothing is known by the name 'regoin'"),
    "a wrong target": ("[ship]", '[ship]\ntarget = "azure"', "'azure' is none of aws, local"),
    "a wrong kind": ("[ship.image]", "[ship.training]\nspot = 1\n[ship.image]", "true or false is expected here"),
    "an unknown part": (
        "[ship.image]",
        "[ship.endpoint.serverless]\nmem = 1\n[ship.image]",
        "what can stand here: memory",
    ),
    "a lonely pipeline": ("[ship.image]", '[ship.model]\nmode = "pipeline"\n[ship.image]', "has 2 to 15 containers"),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_mistake_in_the_file_is_named_by_its_key(tmp_path: Path, mistake: str):
    before, after, words = BROKEN[mistake]
    project = project_in(tmp_path / "p", FILE.replace(before, after, 1))
    with pytest.raises(ProjectError) as caught:
        shipment.read(project)

    assert words in str(caught.value)
    assert "seaproof.toml" in caught.value.where


def test_a_stage_that_is_not_there_is_told_with_those_that_are(tmp_path: Path):
    project = project_in(tmp_path / "p", FILE + '[stage.prod]\nregion = "us-east-1"\n')
    with pytest.raises(ProjectError) as caught:
        shipment.read(project, "prd")

    assert caught.value.next_step == "Stages of this project: prod."


def test_a_plan_as_json_is_json(tmp_path: Path, account: Account):
    plan = planned(project_in(tmp_path / "p"), account)

    assert json.loads(json.dumps(plan.as_json())) == plan.as_json()
    assert list(itertools.chain(plan.kept, plan.left_out))
