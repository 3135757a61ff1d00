"""A training config on the command line: read and checked before anything runs, then put into a job's own words."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seaproof.cli.model_params import refused_params
from seaproof.cli.session import Session
from seaproof.contract.training_config.flat import flatten, unflatten
from seaproof.contract.training_config.meaning import TrainingConfig
from seaproof.contract.training_config.metric_lines import metric_definitions
from seaproof.contract.training_config.reading import Problem
from seaproof.errors import ContractError, ProjectError
from seaproof.project import BUILT_IN, built_in_image
from seaproof.storage.local import LocalStorage
from seaproof.storage.storage import parse_address
from seaproof.training_file.check import Found, decided_task, look
from seaproof.training_file.read import TrainingFile, changed, read_training_file, training_table

DATABASE = "seaproof.db"
"""In the state folder, once a job has run."""
REPORT = "report.html"
FETCHED_BYTES = 64 * 1024 * 1024
"""What is fetched from another S3 to be looked at; of more only the job says what it holds."""
CHANNELS = {"train": "train", "test": "test"}
"""Key below `data` -> channel."""


@dataclass(frozen=True)
class Checked:
    """A config without mistakes, and what its data looks like."""

    file: TrainingFile
    config: TrainingConfig
    """The file's, with the data that the command line named."""
    found: Found
    task: str
    """Empty where only the job can tell."""
    channels: dict[str, str]


def checked_config(
    session: Session,
    path: Path | None,
    given: dict[str, str],
    hyperparameters: dict[str, str] | None = None,
    *,
    here: bool = False,
) -> Checked | None:
    """The config of `path`, or of the `[training]` table; None where there is neither.

    `given` are channels of the command line, which come before the config's own files, as `hyperparameters`
    (`model_params.depth`) come before its keys. Where the job is to run `here`, s3:// addresses are those of this
    folder's storage. ProjectError names every mistake with its line.
    """
    file = _read(session, path)
    if file is None:
        return None
    if hyperparameters:
        file = changed(file, unflatten(hyperparameters))
    folder = (path.parent if path else session.project.root).absolute()
    named = {"train" if name == "training" else name: source for name, source in given.items()}
    channels = _channels(file, folder, named)
    # The command line's file is looked at in the place of the config's.
    own = file.config.data
    data = replace(own, train=channels["train"] if "train" in named else own.train)
    data = replace(data, test=channels["test"] if "test" in named else own.test)
    config = replace(file.config, data=data)
    with _objects(session, here) as objects:
        # Files are not looked at by what is wrong about them in the config itself.
        told = config.target and not any(problem.path[:1] == ("data",) for problem in file.problems)
        found, problems = look(config, folder, objects) if told else (Found(), [])
    problems += refused_params(session, config, decided_task(config, found), found) if not file.problems else []
    if not channels.get("train") and not session.project.training.channels:
        file.refuse([*file.problems, *problems, _no_data()])
    file.refuse([*file.problems, *problems])
    return Checked(file, config, found, decided_task(config, found), channels)


def as_project(session: Session, checked: Checked) -> Session:
    """The session of a project whose job is this training: image, hyperparameters, channels and metrics."""
    project = session.project
    own = {key: value for key, value in checked.file.given.items() if key != "data"}
    data = _without_files(checked.file.given.get("data"))
    try:
        hyperparameters = flatten({**own, **({"data": data} if data else {})})
    except ContractError as error:
        raise ProjectError(error.what, where=checked.file.path.name, next_step=error.next_step) from None
    metrics = metric_definitions(checked.file.config, checked.task, len(set(checked.found.target)))
    training = replace(
        project.training,
        hyperparameters={**project.training.hyperparameters, **hyperparameters},
        channels={**project.training.channels, **checked.channels},
        metrics={**metrics, **project.training.metrics},
    )
    return with_image(replace(session, project=replace(project, training=training)))


def with_image(session: Session) -> Session:
    """The session itself where its project has an image; else one with the built-in image, which is a folder."""
    if session.project.file is not None:
        return session
    if session.flags.get("driver") == "docker":
        raise ProjectError(
            "there is no image to run with docker",
            where=str(session.project.root),
            next_step="Name one in seaproof.toml: [project] image = ...; or leave --driver out, to train with what is "
            "installed here.",
        )
    project = replace(session.project, image=BUILT_IN, images={BUILT_IN: built_in_image()})
    return replace(session, project=project, flags={**session.flags, "driver": "process"})


def served_session(session: Session) -> Session:
    """The session that serves: with the built-in image in a folder that has jobs and is no project."""
    return with_image(session) if (session.state / DATABASE).exists() else session


def taken_out(model: Path) -> Path | None:
    """The report of a training by config, taken out of the archive beside `model` so that a browser can open it; None
    where there is none."""
    report = model.with_name(REPORT)
    try:
        with tarfile.open(model.with_name("output.tar.gz")) as tar:
            found = next((member for member in tar if Path(member.name).name == REPORT and member.isfile()), None)
            content = tar.extractfile(found) if found else None
            if content is None:
                return None
            report.write_bytes(content.read())
    except (OSError, tarfile.TarError):
        return None
    return report


def _read(session: Session, path: Path | None) -> TrainingFile | None:
    if path is not None and path.name != "seaproof.toml":
        return read_training_file(path)
    table = session.project.training.config
    if table and session.project.file:
        return training_table(session.project.file, table)
    return None


def _channels(file: TrainingFile, folder: Path, given: dict[str, str]) -> dict[str, str]:
    channels = {}
    for key, channel in CHANNELS.items():
        own = getattr(file.config.data, key)
        if own:
            channels[channel] = own if own.startswith("s3://") else str(folder / own)
    for name, source in given.items():
        channels[name] = source if source.startswith("s3://") else str(Path(source).absolute())
    return channels


def _without_files(data: Any) -> dict[str, Any]:
    """How files are to be read, without where they are: the job finds them in its channels."""
    return {key: value for key, value in data.items() if key not in CHANNELS} if isinstance(data, dict) else {}


@contextmanager
def _objects(session: Session, here: bool) -> Iterator[Callable[[str], list[Path] | None]]:
    """The files that s3:// addresses stand for: those of this folder's storage, as far as they are there; or copies,
    which are gone afterwards, of what lies in the S3 that the settings name, unless that is too much to fetch."""
    if not session.settings.s3:
        storage = LocalStorage(session.state / "s3")

        def files(uri: str) -> list[Path] | None:
            found = [storage.path(one.address) for one in storage.list(parse_address(uri))]
            return found if found or here else None

        yield files
        return
    from seaproof.storage.s3 import S3Storage

    other = S3Storage(session.settings.s3, session.settings.region)
    with tempfile.TemporaryDirectory(prefix="seaproof-") as folder:

        def copies(uri: str) -> list[Path] | None:
            found = list(other.list(parse_address(uri)))
            if sum(one.size for one in found) > FETCHED_BYTES:
                return None
            paths = []
            for one in found:
                # Its last part alone: keys may have `..` in them.
                name = one.address.key.rpartition("/")[2]
                paths.append(Path(tempfile.mkdtemp(dir=folder), "object" if name in (".", "..") else name))
                other.download(one.address, paths[-1])
            return paths

        yield copies


def _no_data() -> Problem:
    return Problem(
        (), "there is nothing to learn from", "Say `data: FILE.csv` in the config, or --channel train=FILE.csv."
    )
