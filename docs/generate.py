"""Writes the reference pages below docs/reference/ from the code, so that they cannot drift from it.

python docs/generate.py            write them
python docs/generate.py --check    exit 1 where one is out of date
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click

from seaproof import errors
from seaproof.api import coverage, moto_coverage
from seaproof.check import catalogue
from seaproof.check.explanation import explain
from seaproof.cli.app import COMMANDS, seaproof
from seaproof.contract.limits import PROFILES, Limit
from seaproof.settings import Settings

FOLDER = Path(__file__).parent / "reference"
OPERATIONS = """\
What the local server has of AWS's APIs, as `seaproof operations` lists it: read from dispatch, from what each
operation does with its request, and from botocore's models. *Ignored* members are taken and have no effect on
one machine; *refused* ones end in an error that names them. What is not listed is answered with an error that
names the operation. What is moto's is answered in the same process, as far as moto goes. Resources that are made
there outlive the server; messages in SQS queues do not, as they come and go.
"""
NOTE = "<!-- Written by docs/generate.py; edit the code instead. -->\n\n"


def main() -> None:
    """Write every page, or check them."""
    stale = []
    for name, text in pages().items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    if "--check" in sys.argv and stale:
        sys.exit(f"out of date: {', '.join(stale)}. Run `make docs`.")


def pages() -> dict[str, str]:
    """Page name -> its Markdown."""
    return {
        "commands.md": NOTE + "# Commands\n" + "".join(_commands()),
        "settings.md": NOTE + "# Settings\n\n" + _settings(),
        "limits.md": NOTE + "# Limits\n" + "".join(_limits()),
        "operations.md": NOTE + "# Operations\n\n" + _operations(),
        "errors.md": NOTE + f"# Errors\n\n{_doc(errors)}\n",
        "checks.md": NOTE + "# Checks\n\n" + "\n".join(map(explain, catalogue.by_id())),
        "../checks.md": _checks(),
    }


def _commands() -> Iterator[str]:
    root = click.Context(seaproof, info_name="seaproof", terminal_width=100)
    yield f"\n```\n{seaproof.get_help(root)}\n```\n"
    for name in COMMANDS:
        command = seaproof.get_command(root, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=root, terminal_width=100)
        yield f"\n## seaproof {name}\n\n```\n{command.get_help(context)}\n```\n"
        for inner in command.list_commands(context) if isinstance(command, click.Group) else []:
            sub = command.get_command(context, inner)
            assert sub is not None
            help_text = sub.get_help(click.Context(sub, info_name=inner, parent=context, terminal_width=100))
            yield f"\n### seaproof {name} {inner}\n\n```\n{help_text}\n```\n"


def _settings() -> str:
    lines = [
        "A flag comes before the environment, that before `[settings]` of seaproof.toml, that before the default.\n",
        "| setting | environment | default | meaning |",
        "|---|---|---|---|",
    ]
    for knob in fields(Settings):
        choices = knob.metadata["choices"]
        help_text = knob.metadata["help"] + (f" (one of {', '.join(choices)})" if choices else "")
        lines.append(f"| `{knob.name}` | `{knob.metadata['environ']}` | `{knob.default}` | {help_text} |")
    return "\n".join(lines) + "\n"


def _limits() -> Iterator[str]:
    for profile in PROFILES.values():
        yield f"\n## Profile {profile.name}\n\n| limit | value | source |\n|---|---|---|\n"
        for limit in fields(profile):
            value = getattr(profile, limit.name)
            if isinstance(value, Limit):
                yield f"| {limit.name.replace('_', ' ')} | {value} | {value.source} |\n"


def _operations() -> str:
    lines = [OPERATIONS]
    for service in coverage.SERVICES:
        found = coverage.of_service(service)
        here = [operation for operation in found if operation.state != coverage.ABSENT]
        of_moto = [one.name for one in here if one.state == coverage.MOTO]
        own = [one for one in here if one.state != coverage.MOTO]
        lines.append(f"## {service}: {len(here)} operations\n")
        if of_moto:
            lines.append(f"By moto: {', '.join(of_moto)}.\n")
        if own:
            lines += ["| operation | | ignored | refused |", "|---|---|---|---|"]
        for one in own:
            ignored, refused = (", ".join(f"`{path}`" for path in paths) for paths in (one.ignored, one.refused))
            lines.append(f"| {one.name} | {one.state} | {ignored} | {refused} |")
        lines.append("")
    lines += ["## Other services, by moto\n", f"By moto's names: {', '.join(moto_coverage.others())}."]
    return "\n".join(lines) + "\n"


def _checks() -> str:
    """docs/checks.md with its two tables written anew."""
    text = (FOLDER.parent / "checks.md").read_text(encoding="utf-8")
    for name, table in (("rows", catalogue.table_of_rows()), ("beyond", catalogue.table_beyond())):
        start, end = f"<!-- {name}: written by docs/generate.py -->\n", f"<!-- end of {name} -->"
        text = text[: text.index(start) + len(start)] + table + text[text.index(end) :]
    return text


def _doc(module: object) -> str:
    """A module's docstring, its drawing kept as a code block."""
    lines = (module.__doc__ or "").strip().splitlines()
    return "\n".join(lines)


if __name__ == "__main__":
    main()
