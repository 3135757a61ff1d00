"""A plan as a CloudFormation template: the calls that make something that stays, as the resources that they make.

CloudFormation runs no jobs, builds no images and uploads no files: what a plan does of that is left out and said. The
image and the model's address are parameters. Source: CloudFormation User Guide, "AWS resource and property types".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from seaproof.ship.plan import Plan
from seaproof.ship.secrecy import is_secret

Document = dict[str, Any]

_KEPT = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
IMAGE, MODEL_DATA = "ImageUri", "ModelDataUrl"


@dataclass
class _Template:
    """What has been made of the plan so far."""

    plan: Plan
    resources: dict[str, Document] = field(default_factory=dict)
    parameters: dict[str, Document] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def add(self, name: str, kind: str, properties: Document, **more: Any) -> None:
        self.resources[name] = {"Type": f"AWS::{kind}", **more, "Properties": properties}

    def reference(self, resource: str, attribute: str, otherwise: str) -> Any:
        """The attribute of a resource of this template; the value itself where it has no such resource."""
        return {"Fn::GetAtt": [resource, attribute]} if resource in self.resources else otherwise

    def parameter(self, name: str, description: str, default: str = "", *, secret: bool = False) -> Document:
        shown: Document = {"Type": "String", "Description": description}
        self.parameters[name] = {**shown, "NoEcho": True} if secret else {**shown, "Default": default}
        return {"Ref": name}


def template(plan: Plan, deployment: Mapping[str, Any]) -> Document:
    """The template of a plan for an empty account; `deployment` is how an endpoint is updated."""
    made = _Template(plan)
    for step in plan.steps:
        make = _MAKERS.get((step.call.service, step.call.operation))
        if make is None:
            made.left_out.append(step.title)
        else:
            make(made, dict(step.call.request))
    if "Endpoint" in made.resources:
        made.resources["Endpoint"]["Properties"].update(deployment)
    found: Document = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Stage {plan.stage} of the project, from seaproof.toml. Deploy with CAPABILITY_NAMED_IAM.",
        "Metadata": {"LeftOut": made.left_out or ["nothing"]},
    }
    if made.parameters:
        found["Parameters"] = made.parameters
    outputs: Document = {name: {"Value": {"Ref": name}} for name in ("Bucket", "Repository") if name in made.resources}
    if "Endpoint" in made.resources:
        outputs["EndpointName"] = {"Value": {"Fn::GetAtt": ["Endpoint", "EndpointName"]}}
    return {**found, "Resources": made.resources, "Outputs": outputs}


def _bucket(made: _Template, request: Document) -> None:
    made.add("Bucket", "S3::Bucket", {"BucketName": request["Bucket"]}, **_KEPT)


def _role(made: _Template, request: Document) -> None:
    request["AssumeRolePolicyDocument"] = json.loads(request["AssumeRolePolicyDocument"])
    made.add("Role", "IAM::Role", request)


def _role_policy(made: _Template, request: Document) -> None:
    policy = {"PolicyName": request["PolicyName"], "PolicyDocument": json.loads(request["PolicyDocument"])}
    made.resources["Role"]["Properties"]["Policies"] = [policy]


def _repository(made: _Template, request: Document) -> None:
    properties = {
        "RepositoryName": request["repositoryName"],
        "ImageScanningConfiguration": {"ScanOnPush": request["imageScanningConfiguration"]["scanOnPush"]},
        "ImageTagMutability": request["imageTagMutability"],
        "Tags": request["tags"],
    }
    made.add("Repository", "ECR::Repository", properties, **_KEPT)


def _lifecycle(made: _Template, request: Document) -> None:
    policy = {"LifecyclePolicyText": request["lifecyclePolicyText"]}
    made.resources["Repository"]["Properties"]["LifecyclePolicy"] = policy


def _model(made: _Template, request: Document) -> None:
    request["ExecutionRoleArn"] = made.reference("Role", "Arn", request["ExecutionRoleArn"])
    if "PrimaryContainer" in request:
        request["PrimaryContainer"] = _container(made, request["PrimaryContainer"])
    if "Containers" in request:
        request["Containers"] = [_container(made, container) for container in request["Containers"]]
    made.add("Model", "SageMaker::Model", request)


def _container(made: _Template, given: Mapping[str, Any]) -> Document:
    container = dict(given)
    if container.get("Image") == made.plan.names.get("image"):
        container["Image"] = made.parameter(IMAGE, "The image, as it was pushed", container["Image"])
    if "ModelDataUrl" in container:
        is_first = MODEL_DATA not in made.parameters
        if is_first or made.parameters[MODEL_DATA]["Default"] == container["ModelDataUrl"]:
            described = "Address of model.tar.gz, which a training job leaves"
            container["ModelDataUrl"] = made.parameter(MODEL_DATA, described, container["ModelDataUrl"])
    if "Environment" in container:
        container["Environment"] = {
            name: made.parameter(_plain(name), f"Variable {name} of the container", secret=True)
            if is_secret(name, value)
            else value
            for name, value in container["Environment"].items()
        }
    return container


def _endpoint_config(made: _Template, request: Document) -> None:
    mine = made.plan.names.get("model")
    request["ProductionVariants"] = [
        {**variant, "ModelName": made.reference("Model", "ModelName", variant["ModelName"])}
        if variant["ModelName"] == mine
        else dict(variant)
        for variant in request["ProductionVariants"]
    ]
    made.add("EndpointConfig", "SageMaker::EndpointConfig", request)


def _endpoint(made: _Template, request: Document) -> None:
    named = request["EndpointConfigName"]
    request["EndpointConfigName"] = made.reference("EndpointConfig", "EndpointConfigName", named)
    made.add("Endpoint", "SageMaker::Endpoint", request)


def _scalable_target(made: _Template, request: Document) -> None:
    name = f"Target{_plain(request['ResourceId'].rpartition('/')[2])}"
    made.add(name, "ApplicationAutoScaling::ScalableTarget", request, DependsOn="Endpoint")


def _scaling_policy(made: _Template, request: Document) -> None:
    variant = _plain(request["ResourceId"].rpartition("/")[2])
    kept = ("PolicyName", "PolicyType", "TargetTrackingScalingPolicyConfiguration")
    properties = {key: request[key] for key in kept} | {"ScalingTargetId": {"Ref": f"Target{variant}"}}
    made.add(f"Scaling{variant}", "ApplicationAutoScaling::ScalingPolicy", properties)


def _plain(name: str) -> str:
    """A logical id: letters and digits."""
    return "".join(part[:1].upper() + part[1:] for part in "".join(c if c.isalnum() else " " for c in name).split())


_MAKERS: dict[tuple[str, str], Callable[[_Template, Document], None]] = {
    ("s3", "CreateBucket"): _bucket,
    ("iam", "CreateRole"): _role,
    ("iam", "PutRolePolicy"): _role_policy,
    ("ecr", "CreateRepository"): _repository,
    ("ecr", "PutLifecyclePolicy"): _lifecycle,
    ("sagemaker", "CreateModel"): _model,
    ("sagemaker", "CreateEndpointConfig"): _endpoint_config,
    ("sagemaker", "CreateEndpoint"): _endpoint,
    ("application-autoscaling", "RegisterScalableTarget"): _scalable_target,
    ("application-autoscaling", "PutScalingPolicy"): _scaling_policy,
}
