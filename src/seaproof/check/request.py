"""Requests to SageMaker before they are sent: names, types, and combinations that are refused minutes later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seaproof.api import spec, validate
from seaproof.check.check import ALL, COMPARE, STATIC, Evidence, Finding, NotApplicable, check, fail, warn
from seaproof.check.subject import Subject
from seaproof.check.target import Request
from seaproof.errors import ServiceError


def _requests(subject: Subject, *operations: str) -> list[Request]:
    found = [r for r in subject.target.requests if not operations or r.operation in operations]
    if not found:
        what = " or ".join(operations) if operations else "any"
        raise NotApplicable(f"no {what} request was given" if operations else "no request was given")
    return found


@check(
    "SP045",
    "The request is one that the API takes",
    row=45,
    symptom="ValidationException on names, roles, types",
    platform="holds every member to its pattern, enum and limits; boto3 checks types only",
    fix="See the member that is named; its limits are in the API reference.",
    stage=COMPARE,
    roles=ALL,
    mark="D",
    sources="API model of botocore",
)
def request_is_valid(subject: Subject) -> Iterator[Finding]:
    if subject.options.undrafted:
        yield fail(subject.options.undrafted, place=str(subject.target.project.file) if subject.target.project else "")
        return
    for request in _requests(subject):
        names = set(spec.operations().values())
        if request.operation not in names:
            yield fail(f"SageMaker has no operation {request.operation}", place=request.place)
            continue
        try:
            validate.check(request.operation, dict(request.sent))
        except ServiceError as error:
            for problem in error.message.partition(": ")[2].split("; ") or [error.message]:
                yield fail(f"{request.operation}: {problem}", place=request.place)


@check(
    "SP046",
    "ModelDataSource is used only where it is taken",
    row=46,
    symptom="the request is refused, or the job fails: ModelDataSource is not supported",
    platform="takes ModelDataSource for real-time models only: not multi-model, serverless or batch transform",
    fix='"ModelDataUrl": "s3://BUCKET/model.tar.gz"',
    stage=COMPARE,
    roles=ALL,
    mark="U",
    sources="sdk#4777",
)
def model_data_source_is_taken(subject: Subject) -> Iterator[Finding]:
    sourced: dict[str, str] = {}
    for request in _requests(subject):
        for container in _containers(request.body):
            source = (container.get("ModelDataSource") or {}).get("S3DataSource")
            if source is None:
                continue
            sourced[str(request.body.get("ModelName"))] = request.place
            if container.get("Mode") == "MultiModel":
                yield fail("a multi-model container takes ModelDataUrl (a prefix) only", place=request.place)
            uri = str(source.get("S3Uri", ""))
            if source.get("S3DataType") == "S3Prefix" and not uri.endswith("/"):
                yield fail(
                    "the S3Uri of an uncompressed prefix must end in `/`", Evidence("S3Uri", uri), place=request.place
                )
    for request in subject.target.requests:
        if request.operation == "CreateTransformJob" and request.body.get("ModelName") in sourced:
            yield fail(
                f"batch transform refuses the model {request.body['ModelName']}, which has a ModelDataSource",
                place=request.place,
            )
        for variant in request.body.get("ProductionVariants") or []:
            if variant.get("ServerlessConfig") and variant.get("ModelName") in sourced:
                yield fail(
                    f"a serverless variant refuses the model {variant['ModelName']}, which has a ModelDataSource",
                    place=request.place,
                )


@check(
    "SP112",
    "Containers of one model go together",
    symptom="ValidationException at CreateModel, or an endpoint that fails",
    platform="takes 2 to 15 containers in a chain, one multi-model at most; with Direct each needs a hostname",
    fix="See the rule that is named.",
    stage=STATIC,
    roles=ALL,
    mark="D",
)
def containers_go_together(subject: Subject) -> Iterator[Finding]:
    for request in _requests(subject, "CreateModel"):
        containers = request.body.get("Containers") or []
        if bool(containers) == bool(request.body.get("PrimaryContainer")):
            yield fail("exactly one of PrimaryContainer and Containers must be given", place=request.place)
        if sum(c.get("Mode") == "MultiModel" for c in containers) > 1:
            yield fail("only one container of a chain may have Mode MultiModel", place=request.place)
        if len(containers) > 15:
            yield fail(f"a chain has at most 15 containers, not {len(containers)}", place=request.place)
        direct = (request.body.get("InferenceExecutionConfig") or {}).get("Mode") == "Direct"
        if direct and not all(c.get("ContainerHostname") for c in containers):
            yield fail("with Mode Direct every container needs a ContainerHostname", place=request.place)
        for container in _containers(request.body):
            url = str(container.get("ModelDataUrl", ""))
            multi = container.get("Mode") == "MultiModel"
            if url and not multi and not url.endswith(".tar.gz"):
                yield fail("ModelDataUrl must name a .tar.gz", Evidence("ModelDataUrl", url), place=request.place)
            if url and multi and not url.endswith("/"):
                yield warn(
                    "ModelDataUrl of a multi-model container is a prefix and should end in `/`", place=request.place
                )


def _containers(body: Any) -> list[dict[str, Any]]:
    found = list(body.get("Containers") or [])
    return [*found, body["PrimaryContainer"]] if body.get("PrimaryContainer") else found


def values(value: Any, names: tuple[str, ...]) -> Iterator[str]:
    """All texts that stand under one of these keys, however deep."""
    for key, text in _leaves(value):
        if key in names:
            yield text


def texts(value: Any, without: tuple[str, ...] = ()) -> Iterator[str]:
    """All texts that stand anywhere in it, but for those under one of these keys."""
    for key, text in _leaves(value):
        if key not in without:
            yield text


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text with the key that it stands under."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, key)
    elif isinstance(value, str):
        yield key, value
