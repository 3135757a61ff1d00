"""Building and pushing an image through the container engine, and a look at what the registry then holds."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from seaproof.drivers.docker.engine import find_engine
from seaproof.drivers.terminal_codes import without_codes
from seaproof.errors import DriverUnavailable, SeaproofError
from seaproof.settings import inherited_environ
from seaproof.ship import refusals
from seaproof.ship.secrecy import masked
from seaproof.ship.target import Target
from seaproof.ship.waiting import Watcher

TAKEN = ("application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json")
"""Manifests that CreateModel takes: one image, no index."""
SECONDS = 3600
_LAST = 15


class BuildFailed(SeaproofError):
    """`docker build` ended with another code than 0."""


def build(request: Mapping[str, Any], target: Target | None, watcher: Watcher) -> None:
    """Build the image, unless this machine has it under that very name; BuildFailed with the last lines."""
    engine = find_engine()
    name = request["image"]
    client = engine.client()
    try:
        if client.images(name=name):
            watcher.note(f"{name} is built already")
            return
    finally:
        client.close()
    environ = {**inherited_environ(), "DOCKER_HOST": engine.address}
    command = [
        "docker",
        "build",
        "--force-rm",
        "--platform",
        request["platform"],
        "-t",
        name,
        "-f",
        request["dockerfile"],
    ]
    if _has_buildx(environ):
        command += ["--provenance=false", "--sbom=false", "--load"]
    for key, value in request["arguments"].items():
        command += ["--build-arg", f"{key}={value}"]
    if request["network"]:
        command += ["--network", request["network"]]
    last = _run([*command, request["context"]], environ, watcher)
    if last is not None:
        raise BuildFailed(
            f"the image was not built: {masked(' / '.join(last[-3:])) or 'docker build said nothing'}",
            where=request["dockerfile"],
            next_step="The lines above are what `docker build` said.",
        )


def also_call(image: str, name: str) -> None:
    """Give an image of this machine a further name."""
    repository, colon, tag = name.rpartition(":")
    client = find_engine().client()
    try:
        client.tag(image, repository or name, tag if colon else "latest", force=True)
    finally:
        client.close()


def push(request: Mapping[str, Any], target: Target, watcher: Watcher) -> None:
    """Push the image to its registry, logged in where that is ECR, and hold what arrived to what SageMaker takes."""
    repository, _, tag = str(request["image"]).rpartition(":")
    login = {} if request["registry"] else {"auth_config": ecr_login(target)}
    client = find_engine().client(timeout=SECONDS)
    sizes: dict[str, tuple[int, int]] = {}
    try:
        for line in client.push(repository, tag=tag, stream=True, decode=True, **login):
            if "error" in line:
                raise SeaproofError(
                    f"the image was not pushed: {line['error']}",
                    where=str(request["image"]),
                    next_step=_push_advice(str(line["error"])),
                )
            sizes.update(_size(line))
            watcher.status(_sent(sizes))
        about = client.inspect_distribution(f"{repository}:{tag}", **login)
    except SeaproofError:
        raise
    except Exception as error:  # whatever docker or requests raise
        raise SeaproofError(f"the image was not pushed: {error}", where=str(request["image"])) from None
    finally:
        client.close()
    check_manifest(about, str(request["image"]), str(request.get("platform", "linux/amd64")))


def id_here(image: str) -> str:
    """The engine's id of an image of this machine; empty where there is no engine, or no such image."""
    from docker.errors import ImageNotFound

    try:
        client = find_engine().client()
    except DriverUnavailable:
        return ""
    try:
        return str(client.inspect_image(image)["Id"])
    except ImageNotFound:
        return ""
    finally:
        client.close()


def is_there(image: str) -> bool:
    """Whether a registry that asks for no login has the image."""
    from docker.errors import NotFound

    client = find_engine().client()
    try:
        client.inspect_distribution(image)
        return True
    except NotFound:
        return False
    except Exception as error:  # whatever docker or requests raise
        raise SeaproofError(
            f"the registry cannot be asked for the image: {error}",
            where=image,
            next_step="Check [ship.image] registry, and `docker login` where it wants one.",
        ) from None
    finally:
        client.close()


def ecr_login(target: Target) -> dict[str, str]:
    """User and password of the account's registry, for this push alone; they are never written anywhere."""
    token = target.call("ecr", "GetAuthorizationToken", {})["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    return {"username": user, "password": password}


def check_manifest(about: Mapping[str, Any], image: str, platform: str) -> None:
    """SeaproofError where CreateModel, or the instance, would refuse what the registry holds."""
    kind = about["Descriptor"]["mediaType"]
    if kind not in TAKEN:
        raise SeaproofError(
            f"the registry holds an index ({kind}), and CreateModel takes a single manifest",
            where=image,
            next_step="Build it with `seaproof build`, or with --provenance=false --sbom=false and one --platform.",
        )
    found = [f"{each.get('os')}/{each.get('architecture')}" for each in about.get("Platforms") or []]
    if found and platform not in found:
        raise SeaproofError(
            f"the image is for {', '.join(found)}, and the instances run {platform}",
            where=image,
            next_step="Set [ship.image] platform to what the instances have: linux/amd64, or linux/arm64 for Graviton.",
        )


def _size(line: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """What a line of the engine's progress says of one layer: bytes sent, bytes in all."""
    detail = line.get("progressDetail") or {}
    if "current" not in detail:
        return {}
    return {str(line["id"]): (int(detail["current"]), int(detail.get("total") or detail["current"]))}


def _sent(sizes: Mapping[str, tuple[int, int]]) -> str:
    """How much of the layers is sent, in steps of a tenth, so that a log file has few lines of it."""
    sent, whole = (sum(column) for column in zip(*sizes.values(), strict=True)) if sizes else (0, 0)
    tenths = min(10 * sent // whole, 10) if whole else 0
    return f"sent {10 * tenths} % of {max(whole // 1_000_000, 1)} MB" if whole else "asking which layers are there"


def _run(command: Iterable[str], environ: dict[str, str], watcher: Watcher) -> list[str] | None:
    """Run a command and show what it says; None where it ended well, else its last lines."""
    last: list[str] = []
    try:
        process = subprocess.Popen(
            list(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environ, text=True, errors="replace"
        )
    except FileNotFoundError:
        raise SeaproofError(
            "the command `docker` is not there, and building needs it", next_step="Install the Docker command line."
        ) from None
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            line = without_codes(line).rstrip()
            if line.strip():
                last = [*last, line.strip()][-_LAST:]
                watcher.log(line)
    return None if process.returncode == 0 else last


def _has_buildx(environ: dict[str, str]) -> bool:
    done = subprocess.run(["docker", "buildx", "version"], env=environ, capture_output=True, check=False)
    return done.returncode == 0


def _push_advice(said: str) -> str:
    if "denied" in said or "no basic auth" in said or "unauthorized" in said:
        return "Whoever pushes needs ecr:PutImage and its companions: `seaproof role --policy shipping` prints them."
    if "immutable" in said:
        return refusals.next_step("ImageTagAlreadyExistsException", said)
    return "Say the same command again: layers that arrived are not sent twice."
