"""A config as hyperparameters of a job that boto3 creates, in both dialects, without a word of seaproof's own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from config_lab import Folder, Trained, penguins

from seaproof.project import BUILT_IN


@pytest.fixture
def folder(open_path: Path) -> Iterator[Folder]:
    """A folder of its own, with a table in its storage; what was started in it is ended."""
    made = Folder(open_path)
    data = open_path / ".seaproof" / "s3" / "zoo" / "penguins"
    data.mkdir(parents=True)
    (data / "penguins.csv").write_text(penguins())
    yield made
    made.run("down", check=False)


def trained(folder: Folder, name: str, hyperparameters: dict[str, str]) -> Trained:
    """A job that boto3 asks for, when it has completed."""
    url = json.loads((folder.root / ".seaproof" / "coordinator.json").read_text())["url"]
    keys = {"region_name": "us-east-1", "aws_access_key_id": "any", "aws_secret_access_key": "any"}
    client: Any = boto3.client("sagemaker", endpoint_url=url, **keys)
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://zoo/penguins/"}
    client.create_training_job(
        TrainingJobName=name,
        RoleArn="arn:aws:iam::111111111111:role/any",
        AlgorithmSpecification={
            "TrainingImage": BUILT_IN,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "accuracy", "Regex": "(?:^|\\s)accuracy=([0-9.]+)"}],
        },
        HyperParameters=hyperparameters,
        InputDataConfig=[{"ChannelName": "training", "DataSource": {"S3DataSource": source}}],
        OutputDataConfig={"S3OutputPath": "s3://zoo/out"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )
    deadline = time.monotonic() + 150
    while (job := client.describe_training_job(TrainingJobName=name))["TrainingJobStatus"] == "InProgress":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return Trained(folder, job)


def test_hyperparameters_of_both_dialects_make_the_same_model(folder: Folder) -> None:
    folder.run("up")
    config = {"target": "species", "algorithm": "tree", "model_params.max_depth": "3", "exclude": '["year"]'}
    sdk = {"target": "species", "algorithm": "tree", "model_params": {"max_depth": 3}, "exclude": ["year"]}
    injected = {"sagemaker_region": "us-east-1", "sagemaker_container_log_level": 20}

    plain = trained(folder, "plain", config)
    encoded = trained(folder, "encoded", {name: json.dumps(value) for name, value in {**sdk, **injected}.items()})

    assert plain.model == encoded.model
    assert plain.final == encoded.final
    assert plain.final["accuracy"] > 0.9
    assert "year" not in [field["name"] for field in plain.schema["input"]]
