"""A Dockerfile read as far as the contract needs: entry point, environment, labels, user, and what is copied where.

It is not built here. What a base image brings is taken from the engine where the image is there, and is otherwise
unknown, which `ImageConfig.complete` says.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from seaproof.check.files import FolderFiles
from seaproof.check.image import DEFAULT_PATH, ImageConfig
from seaproof.errors import ProjectError

_SHELL = ("/bin/sh", "-c")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")
_HEREDOC = re.compile(r"(?:^|\s)\d*<<-?[\"']?([A-Za-z_]\w*)")


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continued lines joined."""

    word: str
    rest: str
    line: int


@dataclass
class _Stage:
    name: str
    base: str
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    workdir: str | None = None
    mounts: dict[str, Path] = field(default_factory=dict)
    executables: set[str] = field(default_factory=set)
    platform: str = ""


@dataclass(frozen=True)
class Dockerfile:
    """What will come of a Dockerfile."""

    path: Path
    base: str
    config: ImageConfig
    files: FolderFiles
    instructions: tuple[Instruction, ...]

    def line_of(self, word: str) -> int:
        """The line of the last instruction of this word, or 1."""
        return next((found.line for found in reversed(self.instructions) if found.word == word), 1)


def read_dockerfile(path: Path, context: Path, base_config: Callable[[str], ImageConfig | None]) -> Dockerfile:
    """Read it; `base_config` gives the configuration of a base image, or None where it is not here."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProjectError(f"the Dockerfile cannot be read: {error}", where=str(path)) from error
    instructions = tuple(_instructions(text))
    stages: list[_Stage] = []
    arguments: dict[str, str] = {}
    for instruction in instructions:
        if instruction.word == "FROM":
            stages.append(_from(instruction.rest, stages, arguments))
        elif instruction.word == "ARG":
            name, _, value = instruction.rest.partition("=")
            arguments.setdefault(name.strip(), value.strip().strip("\"'"))
        elif stages:
            _apply(stages[-1], instruction, context, arguments)
    if not stages:
        raise ProjectError(
            "the Dockerfile has no FROM", where=str(path), next_step="Its first instruction names a base."
        )
    last = stages[-1]
    base = base_config(last.base) if last.base and last.base != "scratch" else ImageConfig()
    files = FolderFiles(last.mounts, complete=False, executables=frozenset(last.executables))
    return Dockerfile(path, last.base, _config(last, base), files, instructions)


def _instructions(text: str) -> Iterator[Instruction]:
    whole, start = "", 0
    heredoc, inside = "", list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if heredoc:
            if line.strip() != heredoc:
                inside.append(line.strip())
                continue
            yield _instruction(whole, start, inside)
            whole, heredoc, inside = "", "", []
            continue
        if not whole and (not line.strip() or line.lstrip().startswith("#")):
            continue
        if whole and line.lstrip().startswith("#"):
            continue
        start = start if whole else number
        whole += line.rstrip().removesuffix("\\") + " " if line.rstrip().endswith("\\") else line.rstrip()
        if line.rstrip().endswith("\\"):
            continue
        if found := _HEREDOC.search(whole):
            heredoc = found[1]
            continue
        yield _instruction(whole, start, [])
        whole = ""
    if whole.strip():
        yield _instruction(whole, start, inside)


def _instruction(whole: str, start: int, inside: list[str]) -> Instruction:
    """One instruction; the lines of its here-document are commands of a RUN, and a file's text to others."""
    word, _, rest = whole.strip().partition(" ")
    commands = inside if word.upper() == "RUN" else []
    return Instruction(word.upper(), "; ".join([rest.strip(), *commands]), start)


def _from(rest: str, stages: list[_Stage], arguments: dict[str, str]) -> _Stage:
    words = rest.split()
    platform = next((word.partition("=")[2] for word in words if word.startswith("--platform=")), "")
    words = [_expand(word, arguments) for word in words if not word.startswith("--")]
    name = words[2] if len(words) == 3 and words[1].upper() == "AS" else ""
    earlier = next((stage for stage in stages if stage.name and words and stage.name == words[0]), None)
    if earlier is None:
        return _Stage(name, words[0] if words else "", platform=platform)
    return _Stage(
        name,
        earlier.base,
        earlier.entrypoint,
        earlier.command,
        dict(earlier.environment),
        dict(earlier.labels),
        earlier.user,
        earlier.workdir,
        dict(earlier.mounts),
        set(earlier.executables),
        platform or earlier.platform,
    )


def _apply(stage: _Stage, instruction: Instruction, context: Path, arguments: dict[str, str]) -> None:
    word, rest = instruction.word, instruction.rest
    known = {**arguments, "PATH": DEFAULT_PATH, **stage.environment}
    if word == "ENTRYPOINT":
        stage.entrypoint, stage.command = _words(rest), None if stage.command is None else stage.command
    elif word == "CMD":
        stage.command = _words(rest)
    elif word in ("ENV", "LABEL"):
        target = stage.environment if word == "ENV" else stage.labels
        target.update({name: _expand(value, known) for name, value in _pairs(rest)})
    elif word == "USER":
        stage.user = _expand(rest, known)
    elif word == "WORKDIR":
        stage.workdir = _absolute(_expand(rest, known), stage.workdir)
    elif word in ("COPY", "ADD"):
        _copy(stage, rest, context, known)
    elif word == "RUN":
        stage.executables.update(_made_executable(_expand(rest, known), stage.workdir))


def _words(rest: str) -> tuple[str, ...]:
    """Exec form as it is; shell form as Docker stores it."""
    if rest.startswith("["):
        try:
            value = json.loads(rest)
            if isinstance(value, list) and all(isinstance(word, str) for word in value):
                return tuple(value)
        except ValueError:
            pass  # Docker, too, takes what is no JSON for a shell command.
    return (*_SHELL, rest)


def _pairs(rest: str) -> list[tuple[str, str]]:
    try:
        words = shlex.split(rest)
    except ValueError:
        words = rest.split()
    if words and "=" not in words[0]:
        return [(words[0], " ".join(words[1:]))]
    return [(name, value) for name, _, value in (word.partition("=") for word in words)]


def _expand(text: str, known: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda found: known.get(found[1] or found[3], found[2] or ""), text)


def _absolute(path: str, workdir: str | None) -> str:
    return os.path.normpath(os.path.join(workdir or "/", path))  # noqa: PTH118  a container's path


def _copy(stage: _Stage, rest: str, context: Path, known: dict[str, str]) -> None:
    try:
        words = json.loads(rest) if rest.startswith("[") else shlex.split(rest)
    except ValueError:
        return
    flags = [word for word in words if word.startswith("--")]
    words = [_expand(word, known) for word in words if not word.startswith("--")]
    if len(words) < 2 or any(flag.startswith("--from") for flag in flags):
        return
    *sources, target = words
    folder = target.endswith("/") or target == "." or len(sources) > 1
    place = _absolute(target, stage.workdir)
    mode = next((flag.partition("=")[2] for flag in flags if flag.startswith("--chmod=")), "")
    for source in sources:
        for found in _sources(context, source):
            inside = found.is_dir() or not folder
            path = place if inside else f"{place.rstrip('/')}/{found.name}"
            stage.mounts[path] = found
            if _gives_execute(mode):
                stage.executables.update((path, f"{path.rstrip('/')}/"))


def _sources(context: Path, source: str) -> list[Path]:
    plain = source.lstrip("/") or "."
    if not any(char in plain for char in "*?["):
        return [context / plain] if (context / plain).exists() else []
    parent = context / Path(plain).parent
    return sorted(path for path in parent.glob("*") if fnmatch(path.name, Path(plain).name)) if parent.is_dir() else []


def _made_executable(rest: str, workdir: str | None) -> set[str]:
    """Paths that a shell line makes executable, as FolderFiles.executables has them."""
    found: set[str] = set()
    for command in re.split(r"&&|\|\||[;|\n]", rest):
        words = command.split()
        if words[:1] == ["cd"] and len(words) > 1:
            workdir = _absolute(words[1].strip("\"'"), workdir)
        if "chmod" not in words:
            continue
        given = words[words.index("chmod") + 1 :]
        options = [word for word in given if re.fullmatch(r"-[RvfcPHL]+|--[a-z-]+(=.*)?", word)]
        mode, *names = [word.strip("\"'") for word in given if word not in options] or [""]
        if not _gives_execute(mode):
            continue
        searched = words[0] in ("find", "/usr/bin/find")
        for name in words[1:2] if searched else names:
            path = _absolute(name, workdir)
            found.add(path)
            if searched or any("R" in option or option == "--recursive" for option in options):
                found.add(f"{path.rstrip('/')}/")
    return found


def _gives_execute(mode: str) -> bool:
    """Whether a mode of chmod, in numbers or letters, gives somebody the right to execute."""
    if re.fullmatch(r"[0-7]{3,5}", mode):
        return bool(int(mode, 8) & 0o111)
    return bool(re.search(r"(?:^|,)[ugoa]*[+=][rwst]*x", mode))


def _config(stage: _Stage, base: ImageConfig | None) -> ImageConfig:
    below = base or ImageConfig(complete=False)
    return ImageConfig(
        entrypoint=below.entrypoint if stage.entrypoint is None else stage.entrypoint,
        command=stage.command if stage.command is not None else () if stage.entrypoint else below.command,
        environment={**below.environment, **stage.environment},
        labels={**below.labels, **stage.labels},
        user=below.user if stage.user is None else stage.user,
        workdir=stage.workdir or below.workdir,
        architecture=stage.platform.rpartition("/")[2] or below.architecture,
        complete=base is not None and below.complete,
    )
