"""What AWS refuses, told in plain words: botocore's own stubs answer, and nothing is taken for done that was not."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from ship_lab import ACCOUNT, KEY, REGION, SECRET, Account, Quiet, planned, project_in, record_of, refused, seaproof

from seaproof.errors import SeaproofError, ServiceError
from seaproof.project import Project
from seaproof.ship import builder, execute, refusals, waiting
from seaproof.ship.plan import Call, Plan, Step
from seaproof.ship.target import Target

CREATED = datetime.fromtimestamp(1_795_900_000, timezone.utc)
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"


def stubbed(service: str) -> tuple[Target, Stubber]:
    session = boto3.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION)
    client = session.client(service)
    stubber = Stubber(client)
    stubber.activate()
    return Target(session, REGION, account=ACCOUNT, clients={service: client}), stubber


def endpoint_plan(*more: Step) -> Plan:
    create = Call("sagemaker", "CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    undo = Call("sagemaker", "DeleteEndpoint", {"EndpointName": "e"})
    step = Step("create endpoint e", create, undo, waits_for="endpoint")
    return Plan("default", "aws", ACCOUNT, REGION, [*more, step])


REFUSED = {
    "AccessDeniedException": ("User is not authorized to perform: sagemaker:CreateEndpoint", "may not do that"),
    "ThrottlingException": ("Rate exceeded", "takes no more calls just now"),
    "ExpiredTokenException": ("The security token included in the request is expired", "log in again"),
    "UnrecognizedClientException": ("The security token included in the request is invalid.", "are not valid"),
    "ResourceLimitExceeded": ("The account-level service limit 'ml.p4d.24xlarge' is 0 Instances", "quota"),
    "ValidationException": ("Could not find the instance type in this region", "choose another in seaproof.toml"),
}


@pytest.mark.parametrize("code", REFUSED)
def test_a_refusal_says_which_call_why_and_how_to_go_on(project: Project, account: Account, code: str):
    message, advice = REFUSED[code]
    target, stubber = stubbed("sagemaker")
    stubber.add_client_error("create_endpoint", code, message)
    record = record_of(project, account)
    with pytest.raises(execute.StepFailed) as caught:
        execute.execute(endpoint_plan(), target, record, Quiet())
    said = str(caught.value)

    assert "step 1 of 1 failed, create endpoint e" in said
    assert code in said
    assert message in said
    assert advice in said
    assert "seaproof unship" in said
    assert record.made == []  # it was refused: there is nothing to take back
    assert KEY not in said
    assert SECRET not in said


def test_capacity_is_asked_for_again_within_the_limit(project: Project, account: Account):
    target, stubber = stubbed("sagemaker")
    for _ in range(2):
        stubber.add_client_error("create_endpoint", "ResourceLimitExceeded", "none left")
    stubber.add_response("create_endpoint", {"EndpointArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/e"})
    stubber.add_response("describe_endpoint", described("InService"))
    watcher = Quiet()

    execute.execute(endpoint_plan(), target, record_of(project, account), watcher, retries=2, pause=0)

    assert [line for line in watcher.said if "attempt" in line][-1].startswith("no capacity")
    stubber.assert_no_pending_responses()


def test_capacity_is_not_asked_for_for_ever(project: Project, account: Account):
    target, stubber = stubbed("sagemaker")
    for _ in range(3):
        stubber.add_client_error("create_endpoint", "ResourceLimitExceeded", "none left")

    with pytest.raises(execute.StepFailed, match="none left"):
        execute.execute(endpoint_plan(), target, record_of(project, account), Quiet(), retries=2, pause=0)


def test_a_job_that_found_no_capacity_is_sent_again_under_another_name(project: Project, account: Account):
    target, stubber = stubbed("sagemaker")
    arn = {"TrainingJobArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/j"}
    stubber.add_response("create_training_job", arn)
    stubber.add_response(
        "describe_training_job", job("j", "Failed", FailureReason="CapacityError: Unable to provision")
    )
    stubber.add_response("create_training_job", arn, {"TrainingJobName": "j-2", **JOB})
    stubber.add_response("describe_training_job", job("j-2", "Completed"))
    target.clients["logs"] = account.client("logs")

    def plan(name: str) -> Plan:
        call = Call("sagemaker", "CreateTrainingJob", {"TrainingJobName": name, **JOB})
        return Plan("default", "aws", ACCOUNT, REGION, [Step("run", call, waits_for="training job")])

    how = (target, record_of(project, account), Quiet())
    done, ended = execute.until_there_is_capacity(plan("j"), lambda: plan("j-2"), *how, retries=1, pause=0)

    assert ended["training job"]["TrainingJobName"] == "j-2"
    assert done.steps[0].call.request["TrainingJobName"] == "j-2"


def test_a_role_that_was_just_made_is_waited_for(project: Project, account: Account):
    target, stubber = stubbed("sagemaker")
    stubber.add_client_error("create_endpoint", "ValidationException", f"Could not assume role {ROLE}")
    stubber.add_response("create_endpoint", {"EndpointArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/e"})
    stubber.add_response("describe_endpoint", described("InService"))

    done = execute.execute(endpoint_plan(), target, record_of(project, account), Quiet())

    assert done["endpoint"]["EndpointStatus"] == "InService"


def test_an_endpoint_that_fails_shows_its_reason_its_log_and_the_cause(project: Project, account: Account):
    target, stubber = stubbed("sagemaker")
    stubber.add_response("create_endpoint", {"EndpointArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/e"})
    reason = "The primary container for production variant AllTraffic did not pass the ping health check."
    stubber.add_response("describe_endpoint", described("Failed", FailureReason=reason))
    logs = account.client("logs")
    logs.create_log_group(logGroupName="/aws/sagemaker/Endpoints/e")
    logs.create_log_stream(logGroupName="/aws/sagemaker/Endpoints/e", logStreamName="AllTraffic/i-1")
    made = int(CREATED.timestamp() * 1000)
    events = [
        {"timestamp": made - 1, "message": "of an earlier endpoint of that name"},
        {"timestamp": made + 1, "message": "ImportError: no module named scipy"},
    ]
    logs.put_log_events(logGroupName="/aws/sagemaker/Endpoints/e", logStreamName="AllTraffic/i-1", logEvents=events)
    target.clients["logs"] = logs
    watcher = Quiet()
    with pytest.raises(execute.StepFailed) as caught:
        execute.execute(endpoint_plan(), target, record_of(project, account), watcher)

    assert reason in str(caught.value)
    assert "`seaproof check` says why" in str(caught.value)
    assert watcher.said[-1] == "ImportError: no module named scipy"
    assert "of an earlier endpoint of that name" not in watcher.said
    assert isinstance(caught.value.__cause__, waiting.EndedBadly)


def test_the_log_of_a_job_is_shown_once_line_by_line(account: Account):
    logs = account.client("logs")
    group, stream = "/aws/sagemaker/TrainingJobs", "j/algo-1-1"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    seen: list[str] = []
    log = waiting.Log(account.target, group, "j/")
    for number in range(3):
        event = {"timestamp": 1_795_900_000_000 + number, "message": f"line {number}"}
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])
        log.show(seen.append)
        log.show(seen.append)

    assert seen == ["line 0", "line 1", "line 2"]


def test_a_refusal_in_the_middle_names_what_was_done_before(project: Project, account: Account):
    account.client("iam").create_role(RoleName="seaproof-flowers", AssumeRolePolicyDocument="{}")
    plan = planned(project, account)
    broken = [
        Step(step.title, Call("iam", "PutRolePolicy", {**step.call.request, "RoleName": "nobody"}))
        if step.call.operation == "PutRolePolicy"
        else step
        for step in plan.steps
    ]
    with pytest.raises(execute.StepFailed) as caught:
        execute.execute(
            Plan("default", "aws", ACCOUNT, REGION, broken), account.target, record_of(project, account), Quiet()
        )

    assert "Done before it: create bucket" in str(caught.value)
    assert "iam:PutRolePolicy" in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "there are no credentials for AWS"),
        ({"AWS_PROFILE": "nobody"}, "The config profile (nobody) could not be found"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "AWS cannot be reached"),
    ],
)
def test_who_cannot_reach_an_account_is_told_what_to_do(tmp_path: Path, environment: dict[str, str], words: str):
    project = project_in(tmp_path / "p")
    more = {
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        **environment,
    }

    done = seaproof(project.root, "http://127.0.0.1:1", "plan", **more)

    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_region_must_be_known(tmp_path: Path, account: Account):
    project = project_in(tmp_path / "p")
    file = project.root / "seaproof.toml"
    file.write_text(file.read_text().replace(f'region = "{REGION}"\n', ""))

    done = seaproof(project.root, account.url, "plan", AWS_CONFIG_FILE=str(tmp_path / "none"))

    assert "no region is chosen" in done.stderr
    assert "--region" in done.stderr


@pytest.mark.parametrize(
    ("kind", "platforms", "words"),
    [
        ("application/vnd.oci.image.index.v1+json", [], "CreateModel takes a single manifest"),
        (
            "application/vnd.docker.distribution.manifest.v2+json",
            [{"os": "linux", "architecture": "arm64"}],
            "linux/arm64",
        ),
    ],
)
def test_a_manifest_that_sagemaker_refuses_is_refused_before(kind: str, platforms: list[dict[str, str]], words: str):
    about: dict[str, Any] = {"Descriptor": {"mediaType": kind}, "Platforms": platforms}

    with pytest.raises(SeaproofError, match=words):
        builder.check_manifest(about, "flowers:1", "linux/amd64")


class Portal(BaseHTTPRequestHandler):
    """What stands between some networks and AWS, and answers in its place."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))  # closed with something unread, it would be reset
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html><p>Please log in & go on</html>")

    def log_message(self, *args: object) -> None:
        pass


def test_who_does_not_speak_as_aws_does_is_told(project: Project):
    with ThreadingHTTPServer(("127.0.0.1", 0), Portal) as portal:
        threading.Thread(target=portal.serve_forever, daemon=True).start()
        said = refused(project.root, f"http://127.0.0.1:{portal.server_port}", "plan")
        portal.shutdown()

    assert "what answered does not speak as AWS does" in said
    assert "A proxy may stand in between" in said


def test_many_uploads_before_a_failure_are_told_as_one(project: Project, account: Account):
    put = Call("s3", "PutObject", {"Bucket": "b", "Key": "k"})
    done = [Step("create bucket b", put), *(Step(f"upload {n}.csv", put, source=f"{n}.csv") for n in range(300))]
    plan = endpoint_plan(*done)
    failure = execute._failed(SeaproofError("no"), plan, len(plan.steps), plan.steps[-1], "seaproof ship")

    assert "Done before it: create bucket b; upload 200 files; upload 100 files." in str(failure)


def test_a_page_of_html_is_told_as_its_words():
    target, stubber = stubbed("sagemaker")
    stubber.add_client_error("describe_endpoint", "500", "<html><title>Oh</title>\n<p>internal</p></html>")
    with pytest.raises(ServiceError) as caught:
        target.call("sagemaker", "DescribeEndpoint", {"EndpointName": "e"})

    assert caught.value.message.endswith("was refused: Oh internal")


def test_what_is_absent_is_told_from_what_is_refused():
    absent = ServiceError("ValidationException", 'Could not find endpoint "e".')
    refused = ServiceError("ValidationException", "1 validation error detected")

    assert refusals.means_absent(absent)
    assert not refusals.means_absent(refused)


JOB = {
    "RoleArn": ROLE,
    "OutputDataConfig": {"S3OutputPath": "s3://b/o"},
    "AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


def job(name: str, status: str, **more: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{name}",
        "ModelArtifacts": {"S3ModelArtifacts": "s3://b/o/model.tar.gz"},
        "TrainingJobStatus": status,
        "SecondaryStatus": status,
        "AlgorithmSpecification": JOB["AlgorithmSpecification"],
        "ResourceConfig": JOB["ResourceConfig"],
        "StoppingCondition": JOB["StoppingCondition"],
        "CreationTime": CREATED,
        **more,
    }


def described(status: str, **more: Any) -> dict[str, Any]:
    return {
        "EndpointName": "e",
        "EndpointArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/e",
        "EndpointConfigName": "c",
        "EndpointStatus": status,
        "CreationTime": CREATED,
        "LastModifiedTime": CREATED,
        **more,
    }
