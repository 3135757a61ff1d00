"""What programs for SageMaker call beside it, on the same port: logs, STS, IAM, ECR, SNS."""

import base64
import time

import pytest
from botocore.exceptions import ClientError
from wire_lab import ROLE, local_server, make_project, service

JOBS = "/aws/sagemaker/TrainingJobs"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = make_project(tmp_path_factory.mktemp("neighbours"))
    data = root / ".seaproof" / "s3" / "bucket" / "in"
    data.mkdir(parents=True)
    (data / "a.csv").write_text("1\n2\n")
    with local_server(root) as client:
        client.folder = root / ".seaproof"
        yield client


@pytest.fixture(scope="module")
def job(server):
    """The name of a job that has ended, and when it began (milliseconds)."""
    begun = time.time() * 1000
    sagemaker = service("sagemaker", server.url)
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in"}}
    sagemaker.create_training_job(
        TrainingJobName="logged",
        RoleArn=ROLE,
        AlgorithmSpecification={"TrainingImage": "times", "TrainingInputMode": "File"},
        HyperParameters={"factor": "3"},
        InputDataConfig=[{"ChannelName": "train", "DataSource": source}],
        OutputDataConfig={"S3OutputPath": "s3://bucket/out"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName="logged", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    return "logged", begun


def test_a_jobs_log_is_read_to_its_end_where_the_token_repeats(server, job):
    logs = service("logs", server.url)
    found = logs.describe_log_streams(logGroupName=JOBS, logStreamNamePrefix=f"{job[0]}/", orderBy="LogStreamName")
    named = {"logGroupName": JOBS, "logStreamName": found["logStreams"][0]["logStreamName"]}

    first = logs.get_log_events(**named, startFromHead=True)
    again = logs.get_log_events(**named, nextToken=first["nextForwardToken"])
    back = logs.get_log_events(**named, limit=1)

    now = time.time() * 1000
    assert named["logStreamName"].startswith("logged/algo-1-")
    assert "rows=2;" in [event["message"] for event in first["events"]]
    assert all(job[1] <= event["timestamp"] <= now for event in first["events"])
    assert again["events"] == []
    assert again["nextForwardToken"] == first["nextForwardToken"]
    assert back["events"] == first["events"][-1:]


def test_pages_of_a_log_neither_lose_nor_repeat_a_line(server):
    folder = server.folder / "logs" / "TrainingJobs" / "long"
    folder.mkdir(parents=True)
    (folder / "algo-1-1.log").write_text("".join(f"line {number}\n" for number in range(25)))
    logs = service("logs", server.url)
    named = {"logGroupName": JOBS, "logStreamName": "long/algo-1-1"}

    forward, token = [], {"startFromHead": True}
    while (page := logs.get_log_events(**named, limit=7, **token))["events"]:
        forward += [event["message"] for event in page["events"]]
        token = {"nextToken": page["nextForwardToken"]}
    backward, token = [], {}
    while (page := logs.get_log_events(**named, limit=7, **token))["events"]:
        backward = [event["message"] for event in page["events"]] + backward
        token = {"nextToken": page["nextBackwardToken"]}
    filtered = [
        event["message"]
        for page in logs.get_paginator("filter_log_events").paginate(
            logGroupName=JOBS,
            logStreamNames=["long/algo-1-1"],
            filterPattern="line -3",
            PaginationConfig={"PageSize": 4},
        )
        for event in page["events"]
    ]

    assert forward == backward == [f"line {number}" for number in range(25)]
    assert filtered == [line for line in forward if "3" not in line]


def test_an_endpoints_streams_are_named_as_on_the_platform(server):
    folder = server.folder / "logs" / "Endpoints" / "seen"
    (folder / "all-i-0123").mkdir(parents=True)
    (folder / "a-b-i-0ff.log").write_text("up\n")
    (folder / "all-i-0123" / "second.log").write_text("up\n")
    logs = service("logs", server.url)

    groups = logs.describe_log_groups(logGroupNamePrefix="/aws/sagemaker/Endpoints")["logGroups"]
    streams = logs.describe_log_streams(logGroupName="/aws/sagemaker/Endpoints/seen")["logStreams"]

    assert [group["logGroupName"] for group in groups] == ["/aws/sagemaker/Endpoints/seen"]
    assert [stream["logStreamName"] for stream in streams] == ["a-b/i-0ff", "all/i-0123/second"]


@pytest.mark.parametrize("name", ["/aws/lambda/f", "/aws/sagemaker/../../x", "/aws/sagemaker/Endpoints/none"])
def test_a_log_group_that_is_not_there_is_refused(server, name):
    logs = service("logs", server.url)

    with pytest.raises(ClientError) as refusal:
        logs.describe_log_streams(logGroupName=name)

    assert refusal.value.response["Error"]["Code"] in ("ResourceNotFoundException", "ValidationException")


def test_whoever_calls_is_the_role_that_every_program_can_take(server):
    sts, iam = service("sts", server.url), service("iam", server.url)

    who = sts.get_caller_identity()
    role = iam.get_role(RoleName=who["Arn"].split("/")[1])["Role"]
    assumed = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="session")["Credentials"]
    allowed = iam.simulate_principal_policy(
        PolicySourceArn=role["Arn"], ActionNames=["sagemaker:CreateModel", "s3:GetObject"]
    )["EvaluationResults"]

    assert who["Account"] == "000000000000"
    assert role["Arn"] == "arn:aws:iam::000000000000:role/seaproof"
    assert "sagemaker.amazonaws.com" in str(role["AssumeRolePolicyDocument"])
    assert assumed["AccessKeyId"]
    assert [result["EvalDecision"] for result in allowed] == ["allowed", "allowed"]


def test_ecr_points_at_a_registry_of_this_machine(server):
    ecr = service("ecr", server.url)

    made = ecr.create_repository(repositoryName="flowers")["repository"]
    access = ecr.get_authorization_token()["authorizationData"][0]

    assert made["repositoryUri"] == "127.0.0.1:5000/flowers"
    assert access["proxyEndpoint"] == "http://127.0.0.1:5000"
    assert base64.b64decode(access["authorizationToken"]).startswith(b"AWS:")
    assert [found["repositoryName"] for found in ecr.describe_repositories()["repositories"]] == ["flowers"]


def test_sns_is_there_for_notifications(server):
    sns = service("sns", server.url)

    arn = sns.create_topic(Name="done")["TopicArn"]

    assert arn == "arn:aws:sns:us-east-1:000000000000:done"


@pytest.mark.parametrize(
    ("name", "operation", "request_"),
    [
        ("logs", "put_retention_policy", {"logGroupName": JOBS, "retentionInDays": 1}),
        ("sagemaker", "stop_auto_ml_job", {"AutoMLJobName": "a"}),
        ("s3", "put_bucket_website", {"Bucket": "bucket", "WebsiteConfiguration": {}}),
    ],
)
def test_an_operation_that_is_not_here_is_refused_by_its_name(server, name, operation, request_):
    client = service(name, server.url)

    with pytest.raises(ClientError) as refusal:
        getattr(client, operation)(**request_)

    named = "".join(word.capitalize() for word in operation.split("_")).replace("AutoMl", "AutoML")
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert f"does not have the operation {named}" in str(refusal.value)
