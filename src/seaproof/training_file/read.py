"""A training config from a file: YAML or JSON, or the `[training]` table of seaproof.toml, with the line of every key.

JSON is read as the YAML that it is, so both have lines. YAML is that of version 1.2: `yes` and `no` are words.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seaproof.contract.training_config.meaning import TrainingConfig, read_config
from seaproof.contract.training_config.params_json import is_params_json, their_path
from seaproof.contract.training_config.reading import Problem
from seaproof.errors import ProjectError

Keys = tuple[str | int, ...]
Lines = Mapping[Keys, int]


@dataclass(frozen=True)
class TrainingFile:
    """A config that was read: what stands there, what it means, and where."""

    path: Path
    given: Mapping[str, Any]
    config: TrainingConfig
    problems: list[Problem] = field(default_factory=list)
    lines: Lines = field(default_factory=dict)

    def refuse(self, problems: list[Problem]) -> None:
        """ProjectError with all of these problems, each with its line; nothing where there are none."""
        if len(problems) == 1:
            raise ProjectError(problems[0].what, where=self._where(problems[0]), next_step=problems[0].next_step)
        if problems:
            raise ProjectError(_told(self, problems))

    def line(self, problem: Problem) -> int:
        """The line of a problem; that of the nearest key above it where it has none, or 0."""
        path = their_path(problem.path) if is_params_json(self.given) else problem.path
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 0

    def _where(self, problem: Problem) -> str:
        line = self.line(problem)
        return f"{self.path.name}, line {line}" if line else self.path.name


def read_training_file(path: Path) -> TrainingFile:
    """Read a config file with whatever mistakes it has; ProjectError where it is no YAML or JSON table at all."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        text = path.read_text(encoding="utf-8-sig")
        loaded = YAML(typ="rt", pure=True).load(text)
    except FileNotFoundError:
        raise ProjectError("there is no such file", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise ProjectError(f"it is no text in UTF-8: {error.reason}", where=path.name) from None
    except MarkedYAMLError as error:
        raise _unreadable(path, error, text) from None
    except (YAMLError, ValueError) as error:
        raise ProjectError(f"it cannot be read as YAML: {error}", where=path.name) from None
    if not isinstance(loaded, dict):
        raise ProjectError(
            "it holds no table of names and values",
            where=path.name,
            next_step="A config begins like `target: price`, one name and its value on a line.",
        )
    lines: dict[Keys, int] = {}
    given = _plain(loaded, (), lines)
    config, problems = read_config(given)
    return TrainingFile(path, given, config, problems, lines)


def changed(file: TrainingFile, given: Mapping[str, Any]) -> TrainingFile:
    """The same with other values for some keys, which then stand in no line of the file."""
    merged = _merged(file.given, given)
    config, problems = read_config(merged)
    top = set(given)
    lines = {path: line for path, line in file.lines.items() if path[:1] and path[0] not in top}
    return TrainingFile(file.path, merged, config, problems, lines)


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(one)
    for key, value in other.items():
        below = result.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = _merged(below, value) if both else value  # type: ignore[arg-type]
    return result


def training_table(path: Path, table: Mapping[str, Any]) -> TrainingFile:
    """The `[training]` table of a seaproof.toml as a config; its lines are looked up in the text."""
    config, problems = read_config(table)
    return TrainingFile(path, table, config, problems, _toml_lines(path.read_text(encoding="utf-8")))


def _plain(value: Any, path: Keys, lines: dict[Keys, int]) -> Any:
    """Plain Python values, the line of each key and list item put down."""
    if isinstance(value, dict):
        table = {}
        for key, inner in value.items():
            below = (*path, str(key))
            lines[below] = _line(value.lc.key(key))  # type: ignore[attr-defined]
            table[str(key)] = _plain(inner, below, lines)
        return table
    if isinstance(value, list):
        items = []
        for place, inner in enumerate(value):
            below = (*path, place)
            lines[below] = _line(value.lc.item(place))  # type: ignore[attr-defined]
            items.append(_plain(inner, below, lines))
        return items
    if isinstance(value, (bool, type(None))):
        return value
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    # The reader's own kinds of number and text remember how they were written; a job needs them plain.
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def _line(position: tuple[int, int]) -> int:
    return position[0] + 1


def _unreadable(path: Path, error: Any, text: str) -> ProjectError:
    mark = error.problem_mark
    line = mark.line + 1 if mark else 0
    problem = " ".join(str(error.problem or error.context or "it is no YAML").split())
    # Behind the place where reading stopped stands nothing that would help; the line itself does.
    written = text.splitlines()[line - 1].strip() if mark and 0 < line <= len(text.splitlines()) else ""
    found = re.match(r'found duplicate key "(.*?)"', problem)
    if found:
        what, next_step = f"`{found.group(1)}` stands there twice", "Take one of them out."
    elif "\t" in problem or "'\\t'" in problem:
        what, next_step = "the line begins with a tab", "YAML is indented with spaces."
    else:
        what = f"it cannot be read: {problem}" + (f", at `{written}`" if written else "")
        next_step = "One name, a colon, a space and the value stand on a line."
    return ProjectError(what, where=f"{path.name}, line {line}" if line else path.name, next_step=next_step)


def _told(file: TrainingFile, problems: list[Problem]) -> str:
    by_line = sorted(problems, key=file.line)
    told = [f"  line {file.line(p)}: {p}" if file.line(p) else f"  {p}" for p in by_line]
    return "\n".join([f"{file.path.name} has {len(problems)} mistakes:", *told])


def _toml_lines(text: str) -> Lines:
    """Where each key below [training] stands, as far as keys are written plainly."""
    lines: dict[Keys, int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        heading = re.match(r"\s*\[([^\[\]]+)\]", line)
        entry = re.match(r"""\s*["']?([\w.-]+)["']?\s*=""", line)
        if heading:
            table = tuple(part.strip(" \"'") for part in heading.group(1).split("."))
            lines.setdefault(table[1:], number)
        elif entry and table[:1] == ("training",):
            lines.setdefault((*table[1:], *entry.group(1).split(".")), number)
    return lines
