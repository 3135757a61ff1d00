"""From the image reference of a request to an image that the engine has."""

from __future__ import annotations

import re
from typing import Any

from seaproof.errors import ImageNotFound

_ECR = re.compile(r"^\d{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/")


def local_spellings(reference: str) -> list[str]:
    """What to look for among local images, in order: as given, then without the registry, then its latest tag.

    The last only for ECR: an image that is about to be pushed has been built under some local tag.
    """
    first, _, rest = reference.partition("/")
    spellings = [reference]
    if rest and (re.search(r"[.:]", first) or first == "localhost"):
        spellings.append(rest)
    if _ECR.match(reference):
        spellings.append(re.sub(r"(@sha256:[0-9a-f]+|:[^/:]+)$", "", rest))
    return list(dict.fromkeys(spellings))


def local(client: Any, reference: str) -> str | None:
    """The id of the image where the engine has it under one of its local spellings."""
    import docker.errors

    for spelling in local_spellings(reference):
        try:
            found: str = client.inspect_image(spelling)["Id"]
            return found
        except docker.errors.APIError:
            continue
    return None


def resolve(client: Any, reference: str) -> str:
    """The id of the image; pulled where no local spelling has it. ImageNotFound says what was tried."""
    found = local(client, reference)
    if found:
        return found
    tried = local_spellings(reference)
    problem = _pull(client, reference)
    if problem:
        name = tried[-1]
        login = "; to pull it, log in: aws ecr get-login-password | docker login" if _ECR.match(reference) else ""
        raise ImageNotFound(
            f"there is no image {reference!r}: no local tag {' or '.join(tried)}, and the pull failed: {problem}",
            where="container engine",
            next_step=f"Build it: docker build -t {name} .{login}",
        )
    pulled: str = client.inspect_image(reference)["Id"]
    return pulled


def _pull(client: Any, reference: str) -> str:
    """Pull the image; gives the problem, or ""."""
    import docker.errors
    import requests.exceptions

    name, tag = reference, "latest"
    if "@" not in reference and ":" in reference.rpartition("/")[2]:
        name, _, tag = reference.rpartition(":")
    try:
        for step in client.pull(name, tag=None if "@" in name else tag, stream=True, decode=True):
            if "error" in step:
                return str(step["error"])
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        return str(getattr(error, "explanation", "") or error)
    return ""
