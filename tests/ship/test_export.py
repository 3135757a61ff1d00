"""What is exported is what would be shipped, and validators take it: cfn-lint, the ASL schema, Terraform, moto."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ship_lab import ACCOUNT, IMAGE, REGION, Account, moto_server, project_in, seaproof

from seaproof.project import load_project
from seaproof.settings import Settings
from seaproof.ship import blank, cloudformation, drawing, endpoint, shipment, step_functions, terraform
from venvs import make_environment

TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:models"
HEAD = f"""
[project]
name = "flowers"
[training]
instance_type = "ml.m5.large"
[training.channels]
training = "data"
[training.hyperparameters]
depth = 3
api_key = "planted-in-hyperparameters"
[endpoint]
name = "flowers"
[endpoint.environment]
MODE = "fast ${{nothing}} %{{here}}"
DB_PASSWORD = "planted-in-environment"
[ship]
region = "{REGION}"
"""
KINDS = {
    "plain": "",
    "full": """
[ship.image]
keep = 5
[ship.training]
spot = true
checkpoints = true
subnets = ["subnet-0123456789abcdef0"]
security_groups = ["sg-0123456789abcdef0"]
kms_key = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
[ship.endpoint]
instance_count = 2
[ship.endpoint.capture]
percentage = 10
[ship.endpoint.autoscaling]
max = 4
[ship.endpoint.deployment]
strategy = "canary"
alarms = ["errors"]
""",
    "serverless": "[ship.endpoint.serverless]\nmemory = 3072\n",
    "async": '[ship.endpoint.async]\nconcurrency = 4\nerror_topic = "arn:aws:sns:eu-west-1:123456789012:errors"\n',
    "pipeline": """
[ship.model]
mode = "pipeline"
[[ship.model.containers]]
ContainerHostname = "prepare"
[[ship.model.containers]]
ContainerHostname = "predict"
""",
    "many": '[ship.model]\nmode = "multi-model"\nsource = "s3://other-bucket/models/"\n',
    "given": f"""role = "arn:aws:iam::{ACCOUNT}:role/mine"
[ship.model]
source = "none"
[ship.image]
uri = "{IMAGE}"
""",
}


def a_project(folder: Path, kind: str) -> Path:
    text = HEAD + KINDS[kind]
    project_in(folder, text)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    return folder


def written(folder: Path) -> dict[str, str]:
    """Format -> text, as the command writes it."""
    project = load_project(folder / "seaproof.toml")
    wanted = shipment.read(project)
    plan = drawing.everything(blank.whole(project, Settings(), wanted, ACCOUNT, REGION))
    updated = endpoint.deployment(wanted.endpoint)
    return {
        "cloudformation": json.dumps(cloudformation.template(plan, updated)),
        "terraform": terraform.configuration(plan, updated),
        "step-functions": json.dumps(step_functions.definition(plan, updated, TOPIC)),
    }


def exported(folder: Path, form: str, *more: str) -> str:
    """What the command prints, without credentials and without an AWS."""
    done = seaproof(folder, "http://127.0.0.1:9", "export", form, "--account", ACCOUNT, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def validator(name: str) -> str:
    """A program of the validators' environment."""
    return str(make_environment("validators") / "bin" / name)


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Kind of project -> format -> text."""
    root = tmp_path_factory.mktemp("exports")
    return {kind: written(a_project(root / kind, kind)) for kind in KINDS}


@pytest.fixture(scope="module")
def found(exports: dict[str, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What cfn-lint finds in each template, in each state machine, and in one of either that is broken.

    One call for all, as cfn-lint takes longer to begin than to read one.
    """
    folder = tmp_path_factory.mktemp("linted")
    templates = {f"{kind}.json": forms["cloudformation"] for kind, forms in exports.items()}
    templates["printed.yaml"] = exported(a_project(folder / "flowers", "full"), "cloudformation")
    templates["broken.json"] = templates["plain.json"].replace("InitialInstanceCount", "InitialInstanceNumber")
    machines = {f"machine-{kind}.json": _machine(forms["step-functions"]) for kind, forms in exports.items()}
    machines["machine-broken.json"] = machines["machine-plain.json"].replace('"Type": "Wait"', '"Type": "Weit"')
    every = {**templates, **machines}
    for name, text in every.items():
        (folder / name).write_text(text)
    paths = [str(folder / name) for name in every]
    command = [validator("cfn-lint"), "--format", "json", "--regions", REGION, "--", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said: dict[str, list[str]] = {name: [] for name in every}
    for each in json.loads(done.stdout):
        said[Path(each["Filename"]).name].append(f"{each['Rule']['Id']} {each['Message']}")
    return said


def _machine(definition: str) -> str:
    """A template of this state machine alone, by which cfn-lint holds it to the states language."""
    machine = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/machine", "Definition": json.loads(definition)}
    resources = {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": machine}}
    return json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources})


def test_cfn_lint_finds_nothing_in_the_templates(found: dict[str, list[str]]):
    templates = {name: said for name, said in found.items() if not name.startswith("machine-")}

    assert set(templates) == {*(f"{kind}.json" for kind in KINDS), "printed.yaml", "broken.json"}
    assert [name for name, said in templates.items() if said] == ["broken.json"], found


def test_the_state_machines_are_what_the_states_language_allows(
    exports: dict[str, dict[str, str]], found: dict[str, list[str]]
):
    machines = {name: said for name, said in found.items() if name.startswith("machine-")}

    assert set(machines) == {*(f"machine-{kind}.json" for kind in KINDS), "machine-broken.json"}
    assert [name for name, said in machines.items() if said] == ["machine-broken.json"], found
    for forms in exports.values():
        states = json.loads(forms["step-functions"])["States"]
        assert set(re.findall(r'"(?:Next|Default)": "(\w+)"', forms["step-functions"])) <= set(states)


def test_a_state_machine_trains_deploys_and_notifies(exports: dict[str, dict[str, str]]):
    states = json.loads(exports["full"]["step-functions"])["States"]
    train, model, update = states["Train"]["Parameters"], states["CreateModel"]["Parameters"], states["UpdateEndpoint"]

    assert train["TrainingJobName.$"] == "States.Format('flowers-{}', $$.Execution.Name)"
    assert train["HyperParameters"] == {"depth": "3", "api_key.$": "$.secrets.api_key"}
    assert model["PrimaryContainer"]["ModelDataUrl.$"] == "$.training.ModelArtifacts.S3ModelArtifacts"
    assert model["PrimaryContainer"]["Environment"]["DB_PASSWORD.$"] == "$.secrets.DB_PASSWORD"
    assert update["Parameters"]["DeploymentConfig"]["AutoRollbackConfiguration"] == {
        "Alarms": [{"AlarmName": "errors"}]
    }
    assert states["LookForTheEndpoint"]["Catch"][0]["Next"] == "CreateEndpoint"
    assert states["IsItInService"]["Choices"][0]["Next"] == "Notify"
    assert {state["Catch"][-1]["Next"] for name, state in states.items() if "Catch" in state} == {"NotifyFailure"}
    assert "Train" not in json.loads(exports["given"]["step-functions"])["States"]


def test_terraform_reads_the_configurations_and_would_write_them_the_same(
    exports: dict[str, dict[str, str]], tmp_path: Path
):
    parser = validator("hcl2tojson")
    for kind, forms in exports.items():
        (tmp_path / f"{kind}.tf").write_text(forms["terraform"])
    for kind in ("full", "pipeline"):
        read = subprocess.run([parser, str(tmp_path / f"{kind}.tf")], capture_output=True, text=True, check=True)
        kinds = [next(iter(each)).strip('"') for each in json.loads(read.stdout)["resource"]]
        assert {"aws_sagemaker_model", "aws_sagemaker_endpoint_configuration", "aws_sagemaker_endpoint"} <= set(kinds)
    if shutil.which("terraform"):
        command = ["terraform", "fmt", "-check", "-list=true", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_a_value_that_looks_like_a_template_stays_what_it_is(exports: dict[str, dict[str, str]]):
    assert 'MODE        = "fast $${nothing} %%{here}"' in exports["plain"]["terraform"]


def test_no_secret_is_written(exports: dict[str, dict[str, str]]):
    everything = json.dumps(exports)

    assert "planted-in" not in everything
    assert '"NoEcho": true' in exports["plain"]["cloudformation"]
    assert "sensitive   = true" in exports["plain"]["terraform"]


def test_what_a_template_cannot_do_is_said_in_it(exports: dict[str, dict[str, str]]):
    left_out = json.loads(exports["plain"]["cloudformation"])["Metadata"]["LeftOut"]

    assert [line.split()[0] for line in left_out] == ["build", "push", "upload", "run"]


def test_a_stack_made_of_the_template_is_what_would_be_shipped(tmp_path: Path):
    folder = a_project(tmp_path / "flowers", "plain")
    secret = [{"ParameterKey": "DBPASSWORD", "ParameterValue": "given-to-the-stack"}]
    with moto_server(validator("python")) as url:
        account = Account(url)
        template, sagemaker = exported(folder, "cloudformation"), account.client("sagemaker")
        account.client("cloudformation").create_stack(
            StackName="flowers", TemplateBody=template, Parameters=secret, Capabilities=["CAPABILITY_NAMED_IAM"]
        )
        # moto names what a stack makes as it likes: from each to the next by what they say.
        (endpoint_name,) = [found["EndpointName"] for found in sagemaker.list_endpoints()["Endpoints"]]
        config = sagemaker.describe_endpoint(EndpointName=endpoint_name)["EndpointConfigName"]
        variant = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"][0]
        model = sagemaker.describe_model(ModelName=variant["ModelName"])
        buckets = [bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]]
        roles = [role["Arn"] for role in account.client("iam").list_roles()["Roles"]]

    job = re.search(r"run training job (\S+)", template)
    assert job
    assert buckets == [f"seaproof-{REGION}-{ACCOUNT}"]
    assert roles == [model["ExecutionRoleArn"]] == [f"arn:aws:iam::{ACCOUNT}:role/seaproof-flowers"]
    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.m5.large", 1)
    container = model["PrimaryContainer"]
    assert container["ModelDataUrl"] == f"s3://{buckets[0]}/flowers/jobs/{job[1]}/output/model.tar.gz"
    assert container["Environment"] == {"MODE": "fast ${nothing} %{here}", "DB_PASSWORD": "given-to-the-stack"}


def test_the_workflow_is_one_of_github_actions(tmp_path: Path):
    folder = a_project(tmp_path / "flowers", "plain")
    (folder / "seaproof.toml").write_text(HEAD + '[stage.prod]\nregion = "us-east-1"\n')
    out = folder / ".github" / "workflows" / "ship.yml"

    text = exported(folder, "workflow", "--stage", "prod", "--out", str(out))
    checker = [validator("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", str(out)]
    checked = subprocess.run(checker, capture_output=True, text=True, check=False)

    assert text == ""
    assert checked.returncode == 0, checked.stdout
    assert "seaproof ship --target aws --stage prod" in out.read_text()
    assert "aws-region: us-east-1" in out.read_text()


def test_without_account_and_credentials_it_says_what_to_say(tmp_path: Path):
    folder = a_project(tmp_path / "flowers", "plain")
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": str(tmp_path)}

    done = seaproof(folder, "http://127.0.0.1:9", "export", "terraform", **nobody)
    wrong = seaproof(folder, "http://127.0.0.1:9", "export", "terraform", "--account", "12")

    nowhere = seaproof(tmp_path, "http://127.0.0.1:9", "export", "workflow", "--region", "eu-west-1")

    assert (done.returncode, wrong.returncode, nowhere.returncode) == (1, 1, 1)
    assert "there is no seaproof.toml" in nowhere.stderr
    assert "Say --account and --region, which needs no credentials." in done.stderr
    assert "'12' is no id of an AWS account" in wrong.stderr
