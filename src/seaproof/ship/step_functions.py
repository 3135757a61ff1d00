"""A plan as a Step Functions state machine: train -> model -> config -> create or update the endpoint -> notify.

Every execution trains anew: what it makes is named after the execution, whose name must be 36 characters or fewer (as
one that Step Functions chooses is). Source: the Amazon States Language, and "Create and manage SageMaker AI jobs with
Step Functions".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seaproof.errors import SeaproofError
from seaproof.ship.plan import Plan
from seaproof.ship.secrecy import is_secret

Document = dict[str, Any]

POLL_SECONDS = 30
_EXECUTION = "$$.Execution.Name"
_LONGEST = 63 - 36 - 1
_MEMBERS = {"training job": "TrainingJobName", "model": "ModelName", "endpoint config": "EndpointConfigName"}


def definition(plan: Plan, deployment: Mapping[str, Any], topic: str = "") -> Document:
    """The definition; `topic` is the ARN of an SNS topic that is told how it ended, "" for none.

    A variable or hyperparameter whose name says that it is secret is not written: the execution's input gives it,
    under `secrets`. SeaproofError where the plan has no endpoint.
    """
    requests = {step.call.operation: dict(step.call.request) for step in plan.steps}
    if "CreateEndpoint" not in requests:
        raise SeaproofError("the plan creates no endpoint, which is what the state machine is for")
    part = "aws-cn" if plan.region.startswith("cn-") else "aws-us-gov" if plan.region.startswith("us-gov-") else "aws"
    service = f"arn:{part}:states:::"
    config = _renamed(plan, {"EndpointConfigName": plan.names["endpoint config"]})["EndpointConfigName.$"]
    first = "Train" if "CreateTrainingJob" in requests else "CreateModel"
    wanted = {"Type": "Pass", "Parameters": {"name.$": config}, "ResultPath": "$.wanted", "Next": first}
    states: dict[str, Document] = {"NameTheConfig": wanted}
    if "CreateTrainingJob" in requests:
        states["Train"] = _train(plan, requests["CreateTrainingJob"], service)
    states["CreateModel"] = _model(plan, requests["CreateModel"], service, trained="CreateTrainingJob" in requests)
    states["CreateEndpointConfig"] = _endpoint_config(plan, requests["CreateEndpointConfig"], service)
    states |= _endpoint(plan, requests["CreateEndpoint"], deployment, service)
    failed = "NotifyFailure" if topic else "Failed"
    for state in states.values():
        if state["Type"] == "Task":
            state.setdefault("Catch", []).append(
                {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": failed}
            )
    states["IsItInService"]["Choices"][1]["Next"] = failed
    states |= _ends(plan, topic, service)
    if not topic:
        states["IsItInService"]["Choices"][0]["Next"] = "Done"
    names = list(states)
    comment = f"Trains and deploys stage {plan.stage}, from seaproof.toml."
    if any("$.secrets" in str(state) for state in states.values()):
        comment += ' Give the input {"secrets": {"NAME": "value"}}.'
    return {"Comment": comment, "StartAt": names[0], "States": states}


def _train(plan: Plan, request: Document, service: str) -> Document:
    name = plan.names["training job"]
    request = _without_secrets(_renamed(plan, request))
    checkpoints = request.get("CheckpointConfig")
    if checkpoints:
        root = str(checkpoints["S3Uri"]).removesuffix(f"/{name}")
        new = {**checkpoints, "S3Uri.$": f"States.Format('{root}/{{}}', {_EXECUTION})"}
        del new["S3Uri"]
        request["CheckpointConfig"] = new
    return {
        "Type": "Task",
        "Resource": f"{service}sagemaker:createTrainingJob.sync",
        "Parameters": request,
        "ResultPath": "$.training",
        "Next": "CreateModel",
    }


def _model(plan: Plan, request: Document, service: str, *, trained: bool) -> Document:
    mine = f"/{plan.names.get('training job')}/output/model.tar.gz"

    def filled(container: Mapping[str, Any]) -> Document:
        new = _without_secrets(dict(container))
        if trained and str(new.get("ModelDataUrl", "")).endswith(mine):
            del new["ModelDataUrl"]
            new["ModelDataUrl.$"] = "$.training.ModelArtifacts.S3ModelArtifacts"
        return new

    request = _renamed(plan, request)
    if "PrimaryContainer" in request:
        request["PrimaryContainer"] = filled(request["PrimaryContainer"])
    if "Containers" in request:
        request["Containers"] = [filled(container) for container in request["Containers"]]
    return {
        "Type": "Task",
        "Resource": f"{service}sagemaker:createModel",
        "Parameters": request,
        "ResultPath": "$.model",
        "Next": "CreateEndpointConfig",
    }


def _endpoint_config(plan: Plan, request: Document, service: str) -> Document:
    request = _renamed(plan, request)
    request["ProductionVariants"] = [
        _renamed(plan, dict(variant)) if variant["ModelName"] == plan.names["model"] else variant
        for variant in request["ProductionVariants"]
    ]
    return {
        "Type": "Task",
        "Resource": f"{service}sagemaker:createEndpointConfig",
        "Parameters": request,
        "ResultPath": "$.config",
        "Next": "LookForTheEndpoint",
    }


def _endpoint(plan: Plan, create: Document, deployment: Mapping[str, Any], service: str) -> dict[str, Document]:
    """Create or update, then wait: the integrations for endpoints answer before the endpoint is in service."""
    name = {"EndpointName": create["EndpointName"]}
    look = f"{service}aws-sdk:sagemaker:describeEndpoint"
    absent = {"ErrorEquals": ["SageMaker.SageMakerException"], "ResultPath": "$.absent", "Next": "CreateEndpoint"}
    status = "$.endpoint.EndpointStatus"
    fails = ("Failed", "OutOfService", "UpdateRollbackFailed")
    ends = [{"Variable": status, "StringEquals": value} for value in fails]
    return {
        "LookForTheEndpoint": {
            "Type": "Task",
            "Resource": look,
            "Parameters": name,
            "ResultPath": "$.endpoint",
            "Catch": [absent],
            "Next": "UpdateEndpoint",
        },
        "CreateEndpoint": {
            "Type": "Task",
            "Resource": f"{service}sagemaker:createEndpoint",
            "Parameters": _renamed(plan, create),
            "ResultPath": "$.made",
            "Next": "WaitForTheEndpoint",
        },
        "UpdateEndpoint": {
            "Type": "Task",
            "Resource": f"{service}sagemaker:updateEndpoint",
            "Parameters": {
                **_renamed(plan, {"EndpointConfigName": create["EndpointConfigName"]}),
                **name,
                **deployment,
            },
            "ResultPath": "$.made",
            "Next": "WaitForTheEndpoint",
        },
        "WaitForTheEndpoint": {"Type": "Wait", "Seconds": POLL_SECONDS, "Next": "DescribeEndpoint"},
        "DescribeEndpoint": {
            "Type": "Task",
            "Resource": look,
            "Parameters": name,
            "ResultPath": "$.endpoint",
            "Next": "IsItInService",
        },
        "IsItInService": {
            "Type": "Choice",
            "Choices": [
                {
                    "And": [
                        {"Variable": status, "StringEquals": "InService"},
                        # An update that was rolled back is in service too, with the configuration from before.
                        {"Variable": "$.endpoint.EndpointConfigName", "StringEqualsPath": "$.wanted.name"},
                    ],
                    "Next": "Notify",
                },
                {"Or": [*ends, {"Variable": status, "StringEquals": "InService"}], "Next": ""},
            ],
            "Default": "WaitForTheEndpoint",
        },
    }


def _ends(plan: Plan, topic: str, service: str) -> dict[str, Document]:
    failed = {"Type": "Fail", "Error": "NotDeployed", "Cause": "The execution's history has the state and its error."}
    if not topic:
        return {"Done": {"Type": "Succeed"}, "Failed": failed}

    def told(subject: str, message: str, then: Document) -> Document:
        parameters = {"TopicArn": topic, "Subject": subject[:100], "Message.$": message}
        return {"Type": "Task", "Resource": f"{service}sns:publish", "Parameters": parameters, **then}

    name = plan.names["endpoint"]
    return {
        "Notify": told(f"{name} is in service", "States.JsonToString($.endpoint)", {"End": True}),
        "NotifyFailure": told(f"{name} was not deployed", "States.JsonToString($)", {"Next": "Failed"}),
        "Failed": failed,
    }


def _renamed(plan: Plan, request: Document) -> Document:
    """The request with the plan's own names of what is made replaced by names of the execution."""
    named = dict(request)
    for kind, member in _MEMBERS.items():
        if member in named and named[member] == plan.names.get(kind):
            prefix = str(named.pop(member)).rpartition("-")[0][:_LONGEST].rstrip("-")
            named[f"{member}.$"] = f"States.Format('{prefix}-{{}}', {_EXECUTION})"
    return named


def _without_secrets(request: Document) -> Document:
    new = dict(request)
    for member in ("Environment", "HyperParameters"):
        if member in new:
            new[member] = {
                (f"{name}.$" if is_secret(name, value) else name): f"$.secrets.{name}"
                if is_secret(name, value)
                else value
                for name, value in new[member].items()
            }
    return new
