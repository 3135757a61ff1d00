"""A plan as a Terraform configuration: the calls that make something that stays, as resources of the AWS provider.

The provider's names are those of the API in snake case, with few exceptions (`_NAMES`). Terraform runs no jobs, builds
no images and uploads nothing here: what a plan does of that is left out and said. Source: the provider's documentation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from seaproof.ship.hcl import Block, Expression, Json, text
from seaproof.ship.plan import Plan
from seaproof.ship.secrecy import is_secret

PROVIDER = ">= 5.60"

_NAMES = {"KmsKeyId": "kms_key_arn", "Containers": "container", "EndpointName": "name", "EndpointConfigName": "name"}
_MAPS = ("Environment", "Tags")
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass
class _Configuration:
    plan: Plan
    blocks: dict[str, Block] = field(default_factory=dict)
    variables: dict[str, Block] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def add(self, kind: str, body: dict[str, Any], label: str = "this") -> None:
        self.blocks[f"{kind}.{label}"] = Block("resource", (kind, label), body)

    def reference(self, resource: str, attribute: str, otherwise: Any) -> Any:
        return Expression(f"{resource}.{attribute}") if resource in self.blocks else otherwise

    def variable(self, name: str, description: str, default: str = "", *, secret: bool = False) -> Expression:
        body: dict[str, Any] = {"description": description, "type": Expression("string")}
        body |= {"sensitive": True} if secret else {"default": default}
        self.variables[name] = Block("variable", (name,), body)
        return Expression(f"var.{name}")


def configuration(plan: Plan, deployment: Mapping[str, Any]) -> str:
    """The text of main.tf; `deployment` is how an endpoint is updated (`endpoint.deployment`)."""
    made = _Configuration(plan)
    for step in plan.steps:
        make = _MAKERS.get((step.call.service, step.call.operation))
        if make is None:
            made.left_out.append(step.title)
        else:
            make(made, dict(step.call.request))
    endpoint = made.blocks.get("aws_sagemaker_endpoint.this")
    if endpoint and deployment:
        endpoint.body.update(_body(dict(deployment)))
    provider = Block(
        "terraform",
        body={
            "required_providers": Block(
                "required_providers", body={"aws": {"source": "hashicorp/aws", "version": PROVIDER}}
            )
        },
    )
    region = Block("provider", ("aws",), {"region": plan.region})
    notes = [f"# Stage {plan.stage} of the project, from seaproof.toml."]
    notes += [f"# Left out, since Terraform does no such thing: {title}" for title in made.left_out]
    return "\n".join(notes) + "\n\n" + text([provider, region, *made.variables.values(), *made.blocks.values()])


def snake(name: str) -> str:
    """A member of the API as the provider calls it."""
    return _NAMES.get(name) or _WORDS.sub("_", name).lower()


def _body(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request as the body of a block: structures are nested blocks, lists of them repeated ones."""
    body: dict[str, Any] = {}
    for key, value in request.items():
        name = snake(key)
        if key == "Tags":
            body["tags"] = {tag["Key"]: tag["Value"] for tag in value}
        elif isinstance(value, Mapping) and key not in _MAPS:
            body[name] = Block(name, body=_body(value))
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping):
            body[name] = [Block(name, body=_body(item)) for item in value]
        else:
            body[name] = value
    return body


def _bucket(made: _Configuration, request: Mapping[str, Any]) -> None:
    made.add("aws_s3_bucket", {"bucket": request["Bucket"]})


def _role(made: _Configuration, request: Mapping[str, Any]) -> None:
    trust = Json(json.loads(request["AssumeRolePolicyDocument"]))
    tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
    body = {"name": request["RoleName"], "description": request["Description"], "tags": tags}
    made.add("aws_iam_role", {**body, "assume_role_policy": trust})


def _role_policy(made: _Configuration, request: Mapping[str, Any]) -> None:
    role = made.reference("aws_iam_role.this", "id", request["RoleName"])
    policy = Json(json.loads(request["PolicyDocument"]))
    made.add("aws_iam_role_policy", {"name": request["PolicyName"], "role": role, "policy": policy})


def _repository(made: _Configuration, request: Mapping[str, Any]) -> None:
    scan = {"scan_on_push": request["imageScanningConfiguration"]["scanOnPush"]}
    body = {
        "name": request["repositoryName"],
        "image_tag_mutability": request["imageTagMutability"],
        "tags": {tag["Key"]: tag["Value"] for tag in request["tags"]},
        "image_scanning_configuration": Block("image_scanning_configuration", body=scan),
    }
    made.add("aws_ecr_repository", body)


def _lifecycle(made: _Configuration, request: Mapping[str, Any]) -> None:
    name = made.reference("aws_ecr_repository.this", "name", request["repositoryName"])
    policy = Json(json.loads(request["lifecyclePolicyText"]))
    made.add("aws_ecr_lifecycle_policy", {"repository": name, "policy": policy})


def _model(made: _Configuration, request: Mapping[str, Any]) -> None:
    role = made.reference("aws_iam_role.this", "arn", request["ExecutionRoleArn"])
    request = {key: value for key, value in request.items() if key != "ExecutionRoleArn"}
    for key in ("PrimaryContainer", "Containers"):
        given = request.get(key)
        if given:
            several = isinstance(given, list)
            filled = [_container(made, each) for each in (given if several else [given])]
            request = {**request, key: filled if several else filled[0]}
    body = _body(request)
    made.add("aws_sagemaker_model", {"name": body.pop("model_name"), "execution_role_arn": role, **body})


def _container(made: _Configuration, given: Mapping[str, Any]) -> dict[str, Any]:
    container = dict(given)
    if container.get("Image") == made.plan.names.get("image"):
        container["Image"] = made.variable("image", "The image, as it was pushed.", container["Image"])
    if "ModelDataUrl" in container:
        url = container["ModelDataUrl"]
        known = made.variables.get("model_data_url")
        if known is None or known.body["default"] == url:
            container["ModelDataUrl"] = made.variable("model_data_url", "Where the model of a training job lies.", url)
    if "Environment" in container:
        container["Environment"] = {
            name: made.variable(_label(name), f"Variable {name} of the container.", secret=True)
            if is_secret(name, value)
            else value
            for name, value in container["Environment"].items()
        }
    return container


def _endpoint_config(made: _Configuration, request: Mapping[str, Any]) -> None:
    mine = made.plan.names.get("model")
    variants = [
        {**each, "ModelName": made.reference("aws_sagemaker_model.this", "name", each["ModelName"])}
        if each["ModelName"] == mine
        else each
        for each in request["ProductionVariants"]
    ]
    made.add("aws_sagemaker_endpoint_configuration", _body({**request, "ProductionVariants": variants}))


def _endpoint(made: _Configuration, request: Mapping[str, Any]) -> None:
    config = made.reference("aws_sagemaker_endpoint_configuration.this", "name", request["EndpointConfigName"])
    body = _body({key: value for key, value in request.items() if key != "EndpointConfigName"})
    made.add("aws_sagemaker_endpoint", {"name": body.pop("name"), "endpoint_config_name": config, **body})


def _scalable_target(made: _Configuration, request: Mapping[str, Any]) -> None:
    body = {**_body(request), "depends_on": [Expression("aws_sagemaker_endpoint.this")]}
    made.add("aws_appautoscaling_target", body, _label(request["ResourceId"].rpartition("/")[2]))


def _scaling_policy(made: _Configuration, request: Mapping[str, Any]) -> None:
    label = _label(request["ResourceId"].rpartition("/")[2])
    target = f"aws_appautoscaling_target.{label}"
    body = _body(request)
    body["name"] = body.pop("policy_name")
    for name in ("resource_id", "scalable_dimension", "service_namespace"):
        body[name] = made.reference(target, name, body[name])
    tracking = body.pop("target_tracking_scaling_policy_configuration")
    metric = tracking.body.pop("predefined_metric_specification")
    tracking.body["predefined_metric_specification"] = metric
    made.add("aws_appautoscaling_policy", {**body, "target_tracking_scaling_policy_configuration": tracking}, label)


def _label(name: str) -> str:
    """A name that Terraform takes for a variable or a resource."""
    return re.sub(r"[^a-z0-9_]", "_", name.lower())


_MAKERS: dict[tuple[str, str], Callable[[_Configuration, dict[str, Any]], None]] = {
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
