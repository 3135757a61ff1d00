"""The documentation is tested: generated pages are up to date."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from seaproof.cli.app import seaproof

ROOT = Path(__file__).parent.parent


def test_the_reference_pages_are_what_the_code_says():
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


COMMAND = re.compile(r"(?:^|[`\s;&])(seaproof (?!project\b)[a-z][^`\n|;&#>]*)")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_one_that_the_tool_takes(page: Path):
    wrong = []
    for said in code_of(page.read_text(encoding="utf-8")):
        for command in COMMAND.findall(said):
            words = shlex.split(command.replace("[", "").replace("]", ""), comments=True)[1:]
            try:
                parsed(words)
            except click.BadOptionUsage:  # an option that is spoken of, without its value
                continue
            except click.ClickException as error:
                wrong.append(f"{command.strip()}: {error.format_message()}")

    assert wrong == []


def code_of(text: str) -> list[str]:
    """What a page shows as code: spans, and the lines of blocks for a shell."""
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", prose)


def parsed(words: list[str]) -> None:
    """Read a command line as the tool does, and run nothing; click.ClickException where it takes no such thing."""
    command: click.Command | None = seaproof
    context = click.Context(seaproof, info_name="seaproof")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            raise click.UsageError(f"there is no command {words[0]!r}")
        command, words = found, words[1:]
    assert command is not None
    command.make_parser(click.Context(command, parent=context)).parse_args([word for word in words if word != "..."])
