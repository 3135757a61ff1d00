"""What `seaproof operations` says of an operation is held against the operation itself."""

import io
import json
import subprocess
import sys

import pytest
from wire_lab import ROLE

from seaproof.api import coverage, operations, spec
from seaproof.control import fields
from seaproof.errors import ServiceError
from seaproof.storage.storage import Address

MODEL_DATA = "s3://bucket/model.tar.gz"
CONTAINER = {
    "Image": "fake:serve",
    "Environment": {"A": "b"},
    "ModelDataUrl": MODEL_DATA,
    "ContainerHostname": "first",
    "Mode": "SingleModel",
}
SOURCE = {"S3DataSource": {"S3Uri": MODEL_DATA, "S3DataType": "S3Object", "CompressionType": "Gzip"}}
VARIANT = {
    "VariantName": "all",
    "ModelName": "m",
    "InstanceType": "ml.m5.large",
    "InitialInstanceCount": 1,
    "InitialVariantWeight": 0.5,
    "ModelDataDownloadTimeoutInSeconds": 60,
    "ContainerStartupHealthCheckTimeoutInSeconds": 60,
}
SERVERLESS = {
    "VariantName": "all",
    "ModelName": "m",
    "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 2},
}
TAGS = [{"Key": "k", "Value": "v"}]
CHANNEL = {
    "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in", "S3DataDistributionType": "FullyReplicated"}
}

# For each Create, requests that together have every member that it honours, and what describes what was made.
CREATED = {
    "CreateModel": (
        "DescribeModel",
        [
            {
                "ModelName": "whole",
                "ExecutionRoleArn": ROLE,
                "EnableNetworkIsolation": True,
                "Tags": TAGS,
                "InferenceExecutionConfig": {"Mode": "Direct"},
                "Containers": [CONTAINER, {**CONTAINER, "ContainerHostname": "second"}],
            },
            {"ModelName": "primary", "ExecutionRoleArn": ROLE, "PrimaryContainer": CONTAINER},
            {
                "ModelName": "source",
                "ExecutionRoleArn": ROLE,
                "PrimaryContainer": {"Image": "fake:serve", "ModelDataSource": SOURCE},
            },
            {
                "ModelName": "sources",
                "ExecutionRoleArn": ROLE,
                "Containers": [{"Image": "fake:serve", "ModelDataSource": SOURCE}] * 2,
            },
            *(
                {
                    "ModelName": f"many-{name.lower()}",
                    "ExecutionRoleArn": ROLE,
                    name: many if name == "PrimaryContainer" else [many, {"Image": "fake:serve"}],
                }
                for name in ("PrimaryContainer", "Containers")
                for many in [
                    {
                        "Image": "fake:serve",
                        "ModelDataUrl": "s3://bucket/",
                        "Mode": "MultiModel",
                        "MultiModelConfig": {"ModelCacheSetting": "Enabled"},
                    }
                ]
            ),
        ],
    ),
    "CreateEndpointConfig": (
        "DescribeEndpointConfig",
        [
            {
                "EndpointConfigName": "whole",
                "ProductionVariants": [VARIANT],
                "ShadowProductionVariants": [{**VARIANT, "VariantName": "shadow"}],
                "Tags": TAGS,
                "DataCaptureConfig": {
                    "EnableCapture": True,
                    "InitialSamplingPercentage": 50,
                    "DestinationS3Uri": "s3://bucket/captured",
                    "CaptureOptions": [{"CaptureMode": "Input"}],
                    "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
                },
            },
            {
                "EndpointConfigName": "serverless",
                "ProductionVariants": [SERVERLESS],
            },
            {
                "EndpointConfigName": "later",
                "ProductionVariants": [VARIANT],
                "AsyncInferenceConfig": {
                    "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2},
                    "OutputConfig": {
                        "S3OutputPath": "s3://bucket/out",
                        "S3FailurePath": "s3://bucket/failed",
                        "NotificationConfig": {"SuccessTopic": "arn:aws:sns:us-east-1:000000000000:done"},
                    },
                },
            },
        ],
    ),
    "CreateEndpoint": (
        "DescribeEndpoint",
        [{"EndpointName": "whole", "EndpointConfigName": "c", "Tags": TAGS}],
    ),
    "CreateTrainingJob": (
        "DescribeTrainingJob",
        [
            {
                "TrainingJobName": "whole",
                "RoleArn": ROLE,
                "HyperParameters": {"a": "1"},
                "AlgorithmSpecification": {
                    "TrainingImage": "fake:exit=0",
                    "TrainingInputMode": "File",
                    "MetricDefinitions": [{"Name": "m", "Regex": "m=([0-9]+)"}],
                    "ContainerEntrypoint": ["train"],
                    "ContainerArguments": ["x"],
                },
                "InputDataConfig": [{"ChannelName": "train", "DataSource": CHANNEL, "ContentType": "text/csv"}],
                "OutputDataConfig": {"S3OutputPath": "s3://bucket/out", "CompressionType": "GZIP"},
                "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
                "StoppingCondition": {"MaxRuntimeInSeconds": 60},
                "EnableNetworkIsolation": True,
                "CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints", "LocalPath": "/opt/ml/checkpoints"},
                "Environment": {"E": "1"},
                "Tags": TAGS,
            }
        ],
    ),
    "CreateProcessingJob": (
        "DescribeProcessingJob",
        [
            {
                "ProcessingJobName": "whole",
                "RoleArn": ROLE,
                "AppSpecification": {
                    "ImageUri": "fake:exit=0",
                    "ContainerEntrypoint": ["python3"],
                    "ContainerArguments": ["x"],
                },
                "ProcessingInputs": [
                    {
                        "InputName": "rows",
                        "AppManaged": False,
                        "S3Input": {
                            "S3Uri": "s3://bucket/in",
                            "LocalPath": "/opt/ml/processing/in",
                            "S3DataType": "S3Prefix",
                            "S3InputMode": "File",
                            "S3DataDistributionType": "FullyReplicated",
                            "S3CompressionType": "None",
                        },
                    }
                ],
                "ProcessingOutputConfig": {
                    "Outputs": [
                        {
                            "OutputName": "out",
                            "AppManaged": False,
                            "S3Output": {
                                "S3Uri": "s3://bucket/processed",
                                "LocalPath": "/opt/ml/processing/out",
                                "S3UploadMode": "EndOfJob",
                            },
                        }
                    ]
                },
                "ProcessingResources": {
                    "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
                },
                "StoppingCondition": {"MaxRuntimeInSeconds": 60},
                "Environment": {"E": "1"},
                "NetworkConfig": {"EnableNetworkIsolation": True},
                "Tags": TAGS,
            }
        ],
    ),
    "CreateTransformJob": (
        "DescribeTransformJob",
        [
            {
                "TransformJobName": "whole",
                "ModelName": "m",
                "MaxConcurrentTransforms": 1,
                "MaxPayloadInMB": 1,
                "ModelClientConfig": {"InvocationsTimeoutInSeconds": 5, "InvocationsMaxRetries": 1},
                "BatchStrategy": "SingleRecord",
                "Environment": {"E": "1"},
                "TransformInput": {
                    "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in"}},
                    "ContentType": "text/csv",
                    "CompressionType": "None",
                    "SplitType": "Line",
                },
                "TransformOutput": {"S3OutputPath": "s3://bucket/scored", "Accept": "text/csv", "AssembleWith": "Line"},
                "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
                "DataProcessing": {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "Input"},
                "Tags": TAGS,
            }
        ],
    ),
}
NOT_SHOWN = {"Tags"}
"""Members that their Describe does not have in the API; ListTags shows them."""


@pytest.fixture
def filled(plane):
    """A plane with data in a bucket, a model and a configuration."""
    for key in ("model.tar.gz", "in/a.csv"):
        plane.storage.write(Address("bucket", key), io.BytesIO(b"1\n"))
    operations.run(
        plane, "CreateModel", {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": "fake:serve"}}
    )
    operations.run(plane, "CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": [VARIANT]})
    return plane


def paths(value, base=""):
    """The paths of all members of a request, structures and what is in them."""
    if isinstance(value, list):
        return {path for part in value for path in paths(part, base)}
    if not isinstance(value, dict):
        return {base}
    return {base} | {path for name, part in value.items() for path in paths(part, f"{base}.{name}" if base else name)}


def missing(given, shown, path=""):
    """The members of a request that an answer does not show as they were given."""
    if isinstance(given, dict):
        if not isinstance(shown, dict):
            return [path]
        return [left for name, part in given.items() for left in missing(part, shown.get(name), f"{path}.{name}")]
    if isinstance(given, list):
        if not isinstance(shown, list) or len(shown) != len(given):
            return [path]
        return [left for part, other in zip(given, shown, strict=True) for left in missing(part, other, path)]
    return [] if given == shown else [path]


def creates():
    return [one for one in coverage.of_service("sagemaker") if one.name.startswith("Create") and one.state != "absent"]


@pytest.mark.parametrize("name", [one.name for one in creates()])
def test_describe_shows_every_member_that_create_honours(filled, name):
    describe, requests = CREATED[name]
    tables = fields.tables(operations.functions()[name])
    assert tables is not None, f"{name} does not hold its request to tables"
    given = set().union(*(paths(request) for request in requests))

    unproved = {path for path in tables.honoured if path not in given}
    hidden = []
    for request in requests:
        operations.run(filled, name, json.loads(json.dumps(request)))
        key = next(iter(request))
        shown = operations.run(filled, describe, {key: request[key]})
        hidden += missing({part: value for part, value in request.items() if part not in NOT_SHOWN}, shown)

    assert unproved <= {"ShadowProductionVariants.ServerlessConfig"}  # which is refused in words of its own
    assert hidden == []


@pytest.mark.parametrize("name", [one.name for one in creates()])
def test_what_is_said_to_be_refused_is_refused_by_name(filled, name):
    described = next(one for one in creates() if one.name == name)
    shape = spec.input_shape(name)
    base = CREATED[name][1][0]
    plain = {
        "string": "x",
        "integer": 1,
        "boolean": True,
        "list": [{"x": "y"}],
        "map": {"x": "y"},
        "structure": {"x": "y"},
    }

    for path in described.refused:
        if "." in path:
            continue
        request = {**base, path: plain[shape.members[path].type_name]}
        with pytest.raises(ServiceError, match=path):
            operations.functions()[name](filled, request)


def test_processing_jobs_refuse_what_their_page_says_and_no_operation_leaves_out_the_name_of_its_job():
    every = {one.name: one for one in coverage.of_service("sagemaker")}

    assert every["CreateProcessingJob"].refused == [
        "ProcessingInputs.S3Input.S3InputMode=Pipe",
        "ProcessingInputs.DatasetDefinition",
        "ProcessingOutputConfig.Outputs.FeatureStoreOutput",
        "ProcessingResources.ClusterConfig.InstancePreferences",
        "ProcessingResources.ClusterConfig.SelectedInstanceType",
        "ProcessingResources.ClusterConfig.SelectedInstanceCount",
    ]
    for kind in ("Training", "Processing", "Transform"):
        assert every[f"Describe{kind}Job"].state == every[f"Stop{kind}Job"].state == "real"


def test_no_operation_is_real_that_leaves_a_member_unread():
    for service in coverage.SERVICES:
        for one in coverage.of_service(service):
            own = one.state not in ("absent", "moto")
            assert (one.state == "real") == (own and not one.ignored and not one.refused)
    partial = {one.name for one in coverage.of_service("s3") if "ACL" in one.ignored}

    assert {"PutObject", "CreateBucket", "CopyObject"} <= partial


def test_the_command_lists_them():
    def said(*words):
        command = [sys.executable, "-m", "seaproof.cli", "operations", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    every = {(one["service"], one["name"]): one for one in json.loads(said("--json", "--all").stdout)}
    wrong = said("CreateModl")

    assert every["sagemaker", "CreateModel"]["state"] == "partial"
    assert every["sagemaker", "CreateNotebookInstance"]["state"] == "absent"
    assert every["s3", "ListBuckets"]["state"] == "real"
    assert every["iam", "CreateRole"]["state"] == every["sns", "Publish"]["state"] == "moto"
    assert every["sts", "GetCallerIdentity"]["state"] == "real"
    assert every["iam", "SimulatePrincipalPolicy"]["ignored"] != []
    assert "ignored  VpcConfig" in said("CreateModel").stdout
    assert (wrong.returncode, "no operation CreateModl in" in wrong.stderr) == (2, True)
