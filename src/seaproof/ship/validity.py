"""A plan held to the models of the API before its first call: what AWS would refuse is found while nothing is made.

Messages name where in seaproof.toml a value stands. Values are shown without credentials.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from seaproof.api import spec, validate
from seaproof.errors import ProjectError
from seaproof.ship.draft import Draft
from seaproof.ship.plan import Call, Plan, Step
from seaproof.ship.secrecy import masked, without_secrets

NOT_OF_AWS = ("docker", "files")
"""Services of a plan that are no API."""
_SHOWN = 12
"""Words of a closed set that are listed; of more, those like the one that was given."""
_SAID = re.compile(
    r"Value(?: null| '(?P<value>.*)')? at '(?P<path>.*)' failed to satisfy constraint: (?P<rule>.*)", re.DOTALL
)
_REGISTRY = re.compile(r"\d{12}\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.")
_LONGEST = 120

_KEYS: tuple[tuple[str, str, str], ...] = (
    # operation, member (the beginning of its path), where it stands in seaproof.toml
    ("", "roleArn", "[ship] role"),
    ("", "executionRoleArn", "[ship] role"),
    ("", "tags", "[ship.tags]"),
    ("CreateBucket", "bucket", "[ship] bucket"),
    ("CreateRepository", "repositoryName", "[ship.image] repository"),
    ("PutLifecyclePolicy", "", "[ship.image] keep"),
    (
        "CreateTrainingJob",
        "resourceConfig.instanceType",
        "[ship.training] instance_type, else [training] instance_type",
    ),
    (
        "CreateTrainingJob",
        "resourceConfig.instanceCount",
        "[ship.training] instance_count, else [training] instance_count",
    ),
    ("CreateTrainingJob", "resourceConfig.volumeSizeInGB", "[ship.training] volume_size"),
    ("CreateTrainingJob", "resourceConfig.volumeKmsKeyId", "[ship.training] kms_key"),
    ("CreateTrainingJob", "outputDataConfig.kmsKeyId", "[ship.training] kms_key"),
    (
        "CreateTrainingJob",
        "stoppingCondition.maxRuntimeInSeconds",
        "[ship.training] max_runtime, else [training] max_runtime",
    ),
    ("CreateTrainingJob", "stoppingCondition.maxWaitTimeInSeconds", "[ship.training] max_wait"),
    ("CreateTrainingJob", "vpcConfig.subnets", "[ship.training] subnets"),
    ("CreateTrainingJob", "vpcConfig.securityGroupIds", "[ship.training] security_groups"),
    ("CreateTrainingJob", "hyperParameters", "[training.hyperparameters]"),
    ("CreateTrainingJob", "environment", "[training.environment]"),
    ("CreateTrainingJob", "inputDataConfig", "[training.channels]"),
    ("CreateTrainingJob", "algorithmSpecification.metricDefinitions", "[training.metrics]"),
    ("CreateTrainingJob", "algorithmSpecification.trainingImage", "[ship.image]"),
    ("CreateTrainingJob", "", "[ship.training.request]"),
    ("CreateTransformJob", "transformResources.instanceType", "[ship.transform] instance_type"),
    ("CreateTransformJob", "transformResources.instanceCount", "[ship.transform] instance_count"),
    ("CreateTransformJob", "dataProcessing.inputFilter", "[ship.transform] input_filter"),
    ("CreateTransformJob", "dataProcessing.outputFilter", "[ship.transform] output_filter"),
    ("CreateTransformJob", "transformInput.contentType", "[ship.transform] content_type"),
    ("CreateTransformJob", "maxPayloadInMB", "[ship.transform] max_payload"),
    ("CreateTransformJob", "maxConcurrentTransforms", "[ship.transform] concurrency"),
    ("CreateTransformJob", "", "[ship.transform]"),
    ("CreateModel", "vpcConfig.subnets", "[ship.training] subnets"),
    ("CreateModel", "vpcConfig.securityGroupIds", "[ship.training] security_groups"),
    ("CreateModel", "primaryContainer.image", "[ship.image]"),
    ("CreateModel", "primaryContainer.modelDataUrl", "[ship.model] source"),
    ("CreateModel", "primaryContainer.environment", "[endpoint.environment] or [ship.endpoint.environment]"),
    ("CreateModel", "containers", "[[ship.model.containers]]"),
    ("CreateModel", "", "[ship.model.request]"),
    (
        "CreateEndpointConfig",
        "productionVariants.1.member.instanceType",
        "[ship.endpoint] instance_type, else [endpoint] instance_type",
    ),
    (
        "CreateEndpointConfig",
        "productionVariants.1.member.initialInstanceCount",
        "[ship.endpoint] instance_count, else [endpoint] instance_count",
    ),
    ("CreateEndpointConfig", "productionVariants.1.member.serverlessConfig", "[ship.endpoint.serverless]"),
    ("CreateEndpointConfig", "productionVariants", "[[ship.endpoint.variants]]"),
    ("CreateEndpointConfig", "asyncInferenceConfig", "[ship.endpoint.async]"),
    ("CreateEndpointConfig", "dataCaptureConfig", "[ship.endpoint.capture]"),
    ("CreateEndpointConfig", "", "[ship.endpoint.request]"),
    ("CreateEndpoint", "endpointName", "[ship.endpoint] name, else [endpoint] name"),
    ("UpdateEndpoint", "endpointName", "[ship.endpoint] name, else [endpoint] name"),
    ("UpdateEndpoint", "deploymentConfig", "[ship.endpoint.deployment]"),
    ("RegisterScalableTarget", "", "[ship.endpoint.autoscaling]"),
    ("PutScalingPolicy", "", "[ship.endpoint.autoscaling]"),
)


@dataclass(frozen=True)
class _Wrong:
    """One value that would be refused."""

    step: Step
    path: str
    problem: str

    def __str__(self) -> str:
        operation = self.step.call.operation
        key = next(
            (key for of, begin, key in _KEYS if of in ("", operation) and _is_below(self.path, begin)), "seaproof.toml"
        )
        return f"{key}: {self.problem} ({operation}, {self.path})"


def check(plan: Plan, file: str) -> Plan:
    """The plan itself; ProjectError names every value in it that AWS would refuse, and where it stands in `file`."""
    wrong = [str(found) for step in plan.steps for found in _of_step(step, plan)]
    if not wrong:
        return plan
    count = f"{len(wrong)} values would be refused: " if len(wrong) > 1 else ""
    raise ProjectError(
        f"{count}{'; '.join(dict.fromkeys(wrong))}",
        where=file,
        next_step="Nothing was made. What is newer than the installed boto3 is known after `pip install -U boto3`.",
    )


def hold(draft: Draft, operation: str, request: Mapping[str, Any]) -> None:
    """As `check`, of one request of SageMaker before anything in it is read: authors lay their own words over it."""
    step = Step(operation, Call("sagemaker", operation, request))
    check(
        Plan("", draft.target.name, draft.target.account, draft.target.region, [step]),
        str(draft.project.file or draft.project.root),
    )


def _of_step(step: Step, plan: Plan) -> Iterator[_Wrong]:
    call = step.call
    if call.service in NOT_OF_AWS:
        return
    shape = spec.input_shape(call.operation, call.service)
    if shape is not None:
        # Held to the model as it is sent; shown as it may be shown.
        shown = without_secrets(call.request)
        for said in validate.violations(shape, dict(call.request)):
            found = _SAID.match(said)
            assert found, said
            yield _Wrong(step, found["path"], _problem(found["rule"], _at(shown, found["path"])))
    if plan.target == "aws":
        for path, image in _images(call.request):
            found = _REGISTRY.match(image)
            if found and found["region"] != plan.region:
                region = f"{image!r} is of ECR in {found['region']}, and {plan.region} pulls from its own region alone"
                yield _Wrong(step, path, region)


def _problem(rule: str, value: Any) -> str:
    """What is wrong, in plain words; long lists of words are cut to those that are like the value."""
    shown = _shown(value)
    if rule == "Member must not be null":
        return "it is missing"
    if rule.startswith("Member is not known"):
        return f"the API knows no such member; {rule.partition('; ')[2]}"[:600]
    words = re.search(r"enum value set: \[(.*?)\]", rule)
    if words:
        return f"{shown} {_none_of(str(value), words[1].split(', '))}"
    rule = rule.replace("Member must satisfy regular expression pattern: ", "it must match ")
    rule = rule.replace("Member must have value ", "it must be ").replace(
        "Member must have length ", "its length must be "
    )
    rule = rule.replace("less than or equal to", "at most").replace("greater than or equal to", "at least")
    return f"{shown} does not do: {rule.replace('Member must', 'it must')}"


def _none_of(value: str, words: list[str]) -> str:
    if len(words) <= _SHOWN:
        return f"is none of {', '.join(words)}"
    close = difflib.get_close_matches(value, words, n=5, cutoff=0.5)
    return f"is none of the {len(words)} that there are" + (f"; like it are {', '.join(close)}" if close else "")


def _at(request: Any, path: str) -> Any:
    """The value at a path as `validate` writes it: lower camel case, `.1.member` for what is in a list."""
    value = request
    for part in path.split("."):
        if part == "member" or value is None:
            continue
        if isinstance(value, (list, tuple)):
            value = value[int(part) - 1] if part.isdigit() and int(part) <= len(value) else None
        elif isinstance(value, Mapping):
            value = next((value[name] for name in (part, part[:1].upper() + part[1:]) if name in value), None)
    return value


def _shown(value: Any) -> str:
    text = masked(repr(value))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _is_below(path: str, begin: str) -> bool:
    return not begin or path == begin or path.startswith(f"{begin}.")


def _images(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every image that a request names: its path, its address."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            below = f"{path}.{key[:1].lower()}{key[1:]}".lstrip(".")
            if key in ("Image", "TrainingImage") and isinstance(inner, str):
                yield below, inner
            else:
                yield from _images(inner, below)
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value, 1):
            yield from _images(inner, f"{path}.{number}.member")
