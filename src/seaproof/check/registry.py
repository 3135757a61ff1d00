"""The image's name and manifest: what SageMaker is given by the registry, and whether it may pull it at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from seaproof.check.check import ALL, COMPARE, STATIC, Evidence, Finding, NotApplicable, check, fail, warn
from seaproof.check.request import texts, values
from seaproof.check.subject import Subject
from seaproof.drivers.docker.engine import Engine

_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_SECONDS = 3
_ECR = re.compile(r"^(\d{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.(amazonaws\.com(?:\.cn)?)/(.+)$")
_ROLE = re.compile(r"^arn:aws[a-z\-]*:iam::(\d{12}):role/")
_REGION = re.compile(r"arn:aws[a-z\-]*:[a-z0-9-]+:([a-z]{2}(?:-[a-z]+)+-\d):|s3-([a-z]{2}-[a-z]+-\d)")
_AWS = frozenset(
    # From which AWS gives images away: deep learning containers, and scikit-learn and XGBoost region by region.
    [
        "763104351884",
        "683313688378",
        "257758044811",
        "746614075791",
        "246618743249",
        "141502667606",
        "764974769150",
        "492215442770",
        "354813040037",
        "366743142698",
        "121021644041",
        "783357654285",
        "720646828776",
        "341280168497",
        "737474898029",
        "662702820516",
    ]
)
_IMAGES = ("Image", "TrainingImage", "ImageUri")


@check(
    "SP005",
    "The image's manifest is one that SageMaker takes",
    row=5,
    symptom='CreateModel: "Unsupported manifest media type application/vnd.oci.image.index.v1+json"',
    platform="takes single-image manifests. buildx makes an index where it adds attestations",
    fix="docker buildx build --provenance=false --sbom=false --output type=docker -t IMAGE .",
    stage=STATIC,
    roles=ALL,
    mark="U",
    sources="mlflow#13834; buildkit#5480; aws/amazon-sagemaker-feedback#180",
    limit="a folder or Dockerfile has no manifest yet: the builder that pushes it makes one",
)
def manifest_is_taken(subject: Subject) -> Iterator[Finding]:
    saved, image = subject.target.saved, subject.target.image
    found = [("its manifest", *saved.manifest())] if saved else [("its manifest", subject.built().media_type, [])]
    if image and subject.target.engine and (pushed := _in_registry(subject.target.engine, image)):
        found.append((f"what the registry has as {image}", *pushed))
    for what, kind, members in found:
        if kind in _INDEXES:
            yield fail(f"{what} is {kind}", Evidence("manifests in it", "\n".join(members) or "(not listed)"))


@check(
    "SP039",
    "The image is one that the request's role and region can pull",
    row=39,
    symptom='"could not pull image", AccessDenied',
    platform="pulls from ECR of the endpoint's own region with the request's role; other accounts need a policy there",
    fix="Push the image to ECR in the region of the request, and name that URI.",
    stage=COMPARE,
    roles=ALL,
    mark="U",
    sources="sdk#57",
    limit="policies of role and repository, and whether the tag is there: they lie in AWS, and no login is used",
)
def image_can_be_pulled(subject: Subject) -> Iterator[Finding]:
    named = [(image, "", "", False) for image in _own(subject)]
    for request in subject.target.requests:
        role = next(iter(values(request.body, ("ExecutionRoleArn", "RoleArn"))), "")
        named += [(image, role, request.place, _in_vpc(request.body)) for image in values(request.body, _IMAGES)]
    if not named:
        raise NotApplicable("no request and no ECR image was given")
    for image, role, place, vpc in named:
        found = _ECR.match(image)
        shown = Evidence("image", image)
        if not found and not vpc:
            yield fail(
                f"{image} is no ECR address, and others are pulled from only with ImageConfig, in a VPC",
                shown,
                fix="ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG",
                place=place,
            )
        if not found:
            continue
        account = _ROLE.match(role)
        regions = _regions(subject, place)
        if regions and found[2] not in regions:
            cause = f"the image is in {found[2]}, the rest of the request in {', '.join(sorted(regions))}"
            yield fail(cause, shown, place=place)
        if found[2].startswith("cn-") != found[3].endswith(".cn"):
            host = "amazonaws.com.cn" if found[2].startswith("cn-") else "amazonaws.com"
            yield fail(f"registries in {found[2]} end in {host}", shown, place=place)
        if account and account[1] != found[1] and found[1] not in _AWS:
            yield warn(
                f"the image is in account {found[1]}, the role in {account[1]}: the repository needs a policy",
                shown,
                Evidence("role", role),
                fix="aws ecr set-repository-policy --repository-name NAME --policy-text file://policy.json",
                place=place,
            )


def _own(subject: Subject) -> list[str]:
    """The image that is checked, where it is already named as ECR has it."""
    return [subject.target.image] if _ECR.match(subject.target.image) else []


def _regions(subject: Subject, place: str) -> set[str]:
    """The regions that a request names; where the user says in which one it is sent, that one too."""
    bodies = [request.body for request in subject.target.requests if request.place == place]
    found = {a or b for body in bodies for text in texts(body, _IMAGES) for a, b in _REGION.findall(text)}
    return found | ({subject.options.region} - {""})


def _in_vpc(body: Any) -> bool:
    """Whether the request says that its images lie in a registry of its VPC."""
    modes = values(body, ("RepositoryAccessMode", "TrainingRepositoryAccessMode"))
    return "Vpc" in modes


def _in_registry(engine: Engine, reference: str) -> tuple[str, list[str]] | None:
    """Media type and platforms of what was pushed under this name, asked of the registry by the engine.

    None where the name has no registry in it, or the registry does not answer: the image may not have been pushed yet.
    """
    import docker.errors
    import requests.exceptions

    registry, _, rest = reference.partition("/")
    if not rest or not ("." in registry or ":" in registry):
        return None
    client = engine.client(timeout=_SECONDS)
    try:
        told = client.inspect_distribution(reference)
    except (docker.errors.DockerException, requests.exceptions.RequestException):
        return None
    finally:
        client.close()
    platforms = [f"{p.get('os', '?')}/{p.get('architecture', '?')}" for p in told.get("Platforms") or []]
    return str((told.get("Descriptor") or {}).get("mediaType", "")), platforms
