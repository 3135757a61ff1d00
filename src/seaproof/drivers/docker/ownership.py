"""Giving back what a container wrote as root: `opt_ml` and all below it belong to the folder's owner again."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from seaproof.drivers.docker.networks import PROJECT

_log = logging.getLogger(__name__)


def give_back(client: Any, folder: Path, image: str, project: str) -> None:
    """Change the owner of whatever in `folder` is not the folder owner's.

    As root that is done here. Otherwise only a container can do it: a short one of the same image runs `chown`.
    """
    try:
        owner = folder.stat()
    except FileNotFoundError:
        return
    strangers = [path for path in _below(folder) if path.lstat().st_uid != owner.st_uid]
    if not strangers:
        return
    if os.geteuid() == 0:
        for path in strangers:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        return
    _in_container(client, folder, image, project, f"{owner.st_uid}:{owner.st_gid}")


def _below(folder: Path) -> list[Path]:
    """All below the folder; one that cannot be looked into stands for its contents."""
    found = []
    for parent, folders, files in os.walk(folder):
        found += [Path(parent, name) for name in (*folders, *files)]
    return found


def _in_container(client: Any, folder: Path, image: str, project: str, owner: str) -> None:
    import docker.errors
    import requests.exceptions

    container = ""
    try:
        container = client.create_container(
            image,
            entrypoint=["chown", "-R", "-h", owner, "/opt/ml"],
            user="0",
            labels={PROJECT: project},
            host_config=client.create_host_config(network_mode="none", binds=[f"{folder}:/opt/ml"]),
        )["Id"]
        client.start(container)
        code = client.wait(container, timeout=300)["StatusCode"]
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        code = error
    finally:
        if container:
            client.remove_container(container, force=True, v=True)
    if code != 0:
        _log.warning(
            "files below %s still belong to root (%s): the image has no usable chown. Run: sudo chown -R %s %s",
            folder,
            code,
            owner,
            folder,
        )
