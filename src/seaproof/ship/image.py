"""The image in a plan: its repository, its tag, whether it is there, the build and the push."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from seaproof.errors import ProjectError
from seaproof.project import Project
from seaproof.ship import build_context, builder
from seaproof.ship.draft import Draft
from seaproof.ship.plan import Call, Step
from seaproof.ship.shipment import ImageShape, Shipment
from seaproof.ship.target import Target

ECR = (".amazonaws.com", ".amazonaws.com.cn")
"""What the host of every ECR ends in; another registry is asked by the engine, without a login."""
NOBODYS = "1111.dkr.ecr.us-west-2.amazonaws.com"
"""Registry in the name of an image that is built without credentials."""


def add(draft: Draft) -> None:
    """Add what brings the image to where the platform pulls it from."""
    shape = draft.shipment.image
    draft.names["image"] = draft.place.image
    if shape.uri:
        draft.kept.append(f"image {shape.uri}, named in seaproof.toml")
        return
    if draft.target.is_local:
        draft.kept.append(f"image {draft.place.image}, as this machine has it")
        return
    repository, _, tag = draft.place.image.rpartition(":")
    name = repository.partition("/")[2]
    if not repository.partition("/")[0].endswith(ECR):
        found = builder.is_there(draft.place.image)
    else:
        found = bool(draft.find("ecr", "DescribeImages", repositoryName=name, imageIds=[{"imageTag": tag}]))
    if found:
        draft.kept.append(f"image {draft.place.image}")
    else:
        build = build_call(draft.project, draft.shipment, draft.place.image)
        draft.steps.append(Step(f"build image {draft.place.image}", build))
    if not shape.registry:
        _add_repository(draft)
    if found:
        return
    undo = (
        None
        if shape.registry
        else Call("ecr", "BatchDeleteImage", {"repositoryName": name, "imageIds": [{"imageTag": tag}]})
    )
    request = {"image": draft.place.image, "registry": shape.registry, "platform": shape.platform}
    push = Call("docker", "Push", request)
    draft.steps.append(Step(f"push image {draft.place.image}", push, undo))


def _add_repository(draft: Draft) -> None:
    shape = draft.shipment.image
    name = shape.repository or draft.project.name
    there = draft.find("ecr", "DescribeRepositories", repositoryNames=[name])
    if there:
        draft.kept.append(f"repository {name}")
    else:
        request: dict[str, Any] = {
            "repositoryName": name,
            "imageScanningConfiguration": {"scanOnPush": shape.scan_on_push},
            "imageTagMutability": "IMMUTABLE" if shape.immutable_tags else "MUTABLE",
            "tags": draft.tag_list(),
        }
        undo = Call("ecr", "DeleteRepository", {"repositoryName": name})
        draft.steps.append(Step(f"create repository {name}", Call("ecr", "CreateRepository", request), undo))
    if not shape.keep:
        return
    policy = lifecycle_policy(shape.keep)
    present = draft.find("ecr", "GetLifecyclePolicy", repositoryName=name) if there else None
    if present and json.loads(present["lifecyclePolicyText"]) == policy:
        draft.kept.append(f"lifecycle rule of {name}")
        return
    put = Call("ecr", "PutLifecyclePolicy", {"repositoryName": name, "lifecyclePolicyText": json.dumps(policy)})
    draft.steps.append(Step(f"keep the last {shape.keep} images of {name}", put))


def lifecycle_policy(keep: int) -> dict[str, Any]:
    """The rule of a repository that keeps its last `keep` images."""
    selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": keep}
    rule = {"rulePriority": 1, "description": f"keep {keep}", "selection": selection, "action": {"type": "expire"}}
    return {"rules": [rule]}


def registry(shipment: Shipment, target: Target) -> str:
    """HOST[:PORT] of the registry: the one named in seaproof.toml, else the account's ECR, as ECR itself says."""
    if shipment.image.uri or shipment.image.registry:
        return shipment.image.registry
    said = target.call("ecr", "GetAuthorizationToken", {})["authorizationData"][0]
    return urlsplit(str(said["proxyEndpoint"])).netloc


def uri(project: Project, shipment: Shipment, host: str) -> str:
    """The address of the image: registry, repository, and a tag that holds for this content alone."""
    shape = shipment.image
    return shape.uri or f"{host}/{shape.repository or project.name}:{tag(project, shape)}"


def tag(project: Project, shape: ImageShape) -> str:
    """The revision that is checked out, if any, and a hash of what goes into the image."""
    context = project.root / shape.context
    return "-".join(filter(None, (_revision(context), build_context.digest(context, shape)[:12])))


def content_here(project: Project, shipment: Shipment) -> str:
    """What the project's image is made of on this machine, where it has no tag that says so.

    The hash of the folder that stands for it, and the engine's id of the image; either changes with the code.
    """
    folder = project.image_folder
    held = build_context.digest(folder.folder, shipment.image)[:16] if folder else ""
    return "-".join(filter(None, (held, builder.id_here(project.image)[:19])))


def build_call(project: Project, shipment: Shipment, name: str) -> Call:
    """The build; ProjectError where there is no Dockerfile."""
    shape = shipment.image
    context = (project.root / shape.context).absolute()
    dockerfile = context / shape.dockerfile
    if not dockerfile.is_file():
        raise ProjectError(
            "there is no Dockerfile to build the image from",
            where=str(dockerfile),
            next_step="Write one (`seaproof init` shows a short one), name it under [ship.image] dockerfile, or name an"
            " image that is there under [ship.image] uri.",
        )
    request = {
        "context": str(context),
        "dockerfile": str(dockerfile),
        "platform": shape.platform,
        "arguments": dict(shape.arguments),
        "network": shape.network,
        "image": name,
    }
    return Call("docker", "Build", request)


def _revision(folder: Path) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=False
        )
    except OSError:  # no git
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
