"""model.tar.gz: what hosting refuses to unpack, and what unpacks to where nobody looks for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from seaproof.check.check import ALL, RUN, STATIC, Evidence, Finding, NotApplicable, Unchecked, check, fail, warn
from seaproof.check.startup import Startup, startup
from seaproof.check.subject import Subject
from seaproof.check.target import is_archive
from seaproof.control import archives
from seaproof.errors import ArchiveError

_FOLDERS_THAT_BELONG = re.compile(r"code|\d+|export|saved_model|onnx|tokenizer|checkpoint.*|lib", re.IGNORECASE)
_MISSING_FILE = re.compile(
    r"(?:No such file or directory|FileNotFoundError|ENOENT|cannot open|not found|NoSuchFileException)[^\n]*?"
    r"(/opt/ml/model(?:s/[^/\s]+/model)?/[^\s'\":,)]+)"
    r"|(/opt/ml/model/[^\s'\":,)]+)'?: (?:No such file or directory|not found)"
)


def _archive(subject: Subject) -> Path:
    """The archive in question; NotApplicable where none is given."""
    found = subject.target.archive or subject.options.model
    if found is None or not found.is_file():
        raise NotApplicable("no archive was given")
    if subject.target.archive is None and not is_archive(found):
        raise NotApplicable("the model is no archive")
    return found


def _examined(subject: Subject) -> tuple[list[str], list[ArchiveError]]:
    path = _archive(subject)
    return subject.lab.once(f"archive {path}", lambda: archives.examine(path))


@check(
    "SP026",
    "Hosting can unpack the archive",
    row=26,
    symptom='"Failed to extract model data archive"',
    platform="unpacks model.tar.gz before the start; it refuses links, devices, absolute paths, `..`, other formats",
    fix="tar --dereference --hard-dereference -czf model.tar.gz -C FOLDER .",
    stage=STATIC,
    roles=ALL,
    mark="D",
    sources='hosting FAQ; repost "endpoint creation fail"; mantium PR#5',
)
def archive_unpacks(subject: Subject) -> Iterator[Finding]:
    path = _archive(subject)
    for problem in _examined(subject)[1]:
        fix = problem.next_step.partition("Failed as ")[2] or problem.next_step
        yield fail(problem.what, fix=fix.rpartition("Failed. ")[2], place=str(path))


@check(
    "SP027",
    "The archive's files lie where the container looks for them",
    row=27,
    symptom="model files are not found under /opt/ml/model",
    platform="unpacks the members as they are named: `model/weights.bin` becomes /opt/ml/model/model/weights.bin",
    fix="tar -czf model.tar.gz -C FOLDER .        # not: tar -czf model.tar.gz FOLDER",
    stage=STATIC,
    roles=ALL,
    mark="D",
    sources="hosting FAQ",
)
def archive_has_no_extra_folder(subject: Subject) -> Iterator[Finding]:
    path = _archive(subject)
    names, problems = _examined(subject)
    if problems and not names:
        raise NotApplicable("it cannot be read; see SP026")
    shown = Evidence("members", "\n".join(names[:8] + (["..."] if len(names) > 8 else [])))
    macos = [name for name in names if PurePosixPath(name).name.startswith("._") or name.startswith("__MACOSX")]
    if macos:
        yield warn(
            f"{len(macos)} files of macOS's own are in it, such as {macos[0]}; a container may take them for its own",
            Evidence("members", "\n".join(macos[:5])),
            fix="COPYFILE_DISABLE=1 tar -czf model.tar.gz -C FOLDER .",
            place=str(path),
        )
    if not names:
        yield warn("the archive is empty", place=str(path))
    tops = {PurePosixPath(name).parts[0] for name in names if name not in macos}
    alone = tops.pop() if len(tops) == 1 else ""
    if alone and not _FOLDERS_THAT_BELONG.fullmatch(alone) and any("/" in name.rstrip("/") for name in names):
        yield warn(
            f"all of it lies in one folder, so the container finds /opt/ml/model/{alone}/...",
            shown,
            fix=f"tar -czf model.tar.gz -C {alone} .",
            place=str(path),
        )


@check(
    "SP127",
    "The container finds its files in the model given",
    symptom="model files are not found under /opt/ml/model",
    platform="gives the container what is in the archive and nothing else",
    fix="tar -czf model.tar.gz -C FOLDER .",
    stage=RUN,
    roles=("realtime", "serverless", "async", "batch", "pipeline"),
    mark="I",
)
def container_finds_its_files(subject: Subject) -> Iterator[Finding]:
    started = startup(subject)
    wanted = missing_file(started)
    if not wanted:
        return
    folder = subject.lab.model()
    seen = subject.target.files.stat(wanted) if subject.target.files is not None and subject.target.image else None
    if seen is not None:
        cause = f"it looks for {wanted}, which the image has there, hidden by the platform's mount"
        yield fail(cause, *started.evidence(), fix="COPY . /opt/program/        # or /opt/ml/code, which stays")
        return
    if folder is None:
        raise Unchecked(f"it looks for {wanted}, and no model was given", next_step="Give --model model.tar.gz.")
    elsewhere = [str(path.relative_to(folder)) for path in folder.rglob(PurePosixPath(wanted).name)]
    given = f"it lies at {elsewhere[0]} of the model given" if elsewhere else "the model given has no such file"
    yield fail(f"it looks for {wanted}, and {given}", *started.evidence())


def missing_file(started: Startup) -> str:
    """The file below /opt/ml/model for want of which a start failed; empty where that is not the reason."""
    found = _MISSING_FILE.search(started.log) if not started.healthy else None
    return (found[1] or found[2]) if found else ""
