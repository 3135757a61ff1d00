"""What the commands read from options, and what they copy into the project's own storage before a request is sent."""

from __future__ import annotations

import re
from pathlib import Path

from seaproof.errors import ProjectError
from seaproof.project import BUILT_IN, Project
from seaproof.ship.requests import BUCKET, new_name
from seaproof.source_files import source_files
from seaproof.storage.local import LocalStorage
from seaproof.storage.storage import parse_address


def check_project(project: Project) -> None:
    """ProjectError where this folder is no project: there would be no image to run."""
    if project.file is None and project.image != BUILT_IN:
        raise ProjectError(
            "there is no seaproof.toml",
            where=str(project.root),
            next_step="`seaproof init` writes a new project. For an image that is there, two lines will do: [project] "
            'and image = "NAME". --project names another folder.',
        )


def unreadable(path: Path, error: OSError | UnicodeDecodeError) -> ProjectError:
    """A file that was named on the command line and cannot be read as text."""
    said = error.strerror if isinstance(error, OSError) else "it is no text"
    return ProjectError(f"the file cannot be read: {said}", where=str(path))


def check_name(name: str, where: str) -> str:
    """The name, where SageMaker takes it; ProjectError otherwise, before any work is done for it."""
    if re.fullmatch("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name):
        return name
    raise ProjectError(
        f"{name!r} is no name that SageMaker takes",
        where=where,
        next_step="Use letters, digits and hyphens, at most 63, a letter or digit first and last.",
    )


def put_channels(project: Project, state: Path, name: str, given: dict[str, str]) -> dict[str, str]:
    """Bring each channel's data to where a training job can read it; the s3:// prefix of each.

    A local file or folder is copied into the project's own storage; an s3:// address is taken as it is.
    """
    storage = LocalStorage(state / "s3")
    uris = {}
    for channel, source in {**project.training.channels, **given}.items():
        if source.startswith("s3://"):
            uris[channel] = source
            continue
        path = project.root / source
        if not path.exists():
            raise ProjectError(
                f"there is no file or folder {source!r} for channel {channel!r}",
                where=str(project.file or project.root),
                next_step="Paths count from the project's folder; s3:// addresses are taken as they are.",
            )
        prefix = f"s3://{BUCKET}/{project.name}/input/{name}/{channel}/"
        for key, file in source_files(path).items():
            storage.upload(file, parse_address(prefix + key))
        uris[channel] = prefix
    return uris


def put_model(project: Project, state: Path, archive: Path) -> str:
    """Copy a model.tar.gz into the project's storage; its s3:// address."""
    uri = f"s3://{BUCKET}/{project.name}/models/{new_name(project)}/model.tar.gz"
    LocalStorage(state / "s3").upload(archive, parse_address(uri))
    return uri


def parse_pairs(given: tuple[str, ...], option: str) -> dict[str, str]:
    """`("a=1", "b=2")` as a dictionary; ProjectError names the option (`--flag FORM`) where a text is no pair."""
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            flag, _, form = option.partition(" ")
            raise ProjectError(f"{text!r} is no {form}", where=flag, next_step=f"Write it as {flag} {form}.")
        pairs[name] = value
    return pairs
