"""All checks, in the order in which they run: what is looked at, then what is run; what others need comes first."""

from __future__ import annotations

import importlib
from functools import lru_cache

from seaproof.check.check import COMPARE, RUN, STATIC, Check
from seaproof.errors import SeaproofError

FAMILIES = (
    "training",
    "input_modes",
    "hosts",
    "request",
    "registry",
    "archive",
    "entry",
    "limits",
    "isolation",
    "resources",
    "java",
    "ping",
    "invocations",
    "streaming",
    "asynchronous",
    "batch",
    "pipeline",
    "multi_model",
    "processing",
    "signals",
)
ROWS = 52


@lru_cache
def all_checks() -> tuple[Check, ...]:
    """Every check, those that only look before those that run something, families in the order above."""
    found: list[Check] = []
    for family in FAMILIES:
        module = importlib.import_module(f"seaproof.check.{family}")
        found += [
            value for value in vars(module).values() if isinstance(value, Check) and value.family == _name(family)
        ]
    rank = {STATIC: 0, COMPARE: 0, RUN: 1}
    return tuple(sorted(found, key=lambda check: rank[check.stage]))


def _name(family: str) -> str:
    return family.replace("_", "-")


def by_id() -> tuple[Check, ...]:
    """Every check, by id."""
    return tuple(sorted(all_checks(), key=lambda check: check.id))


def find_check(id: str) -> Check:
    """The check of this id, or of its number alone; SeaproofError says where they are listed."""
    wanted = f"sp{int(id):03}" if id.isascii() and id.isdigit() else id.lower()
    for found in all_checks():
        if found.id.lower() == wanted:
            return found
    raise SeaproofError(f"there is no check {id!r}", next_step="`seaproof check --list` shows them all.")


def names() -> set[str]:
    """What --only and --skip take: ids and families, lower case."""
    return {found.id.lower() for found in all_checks()} | {_name(family) for family in FAMILIES}


def table_of_rows() -> str:
    """The rows of the table of symptoms in Markdown, each with its checks."""
    lines = [
        "| # | on SageMaker | what must hold | checked | sure | check | what of it is not seen here, and why |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in range(1, ROWS + 1):
        found = [check for check in by_id() if check.row == row]
        lines += [
            f"| {row} | {_cell(check.symptom)} | {_cell(check.title)} | {check.stage} | {check.mark} | {_link(check)} "
            f"| {_cell(check.limit)} |"
            for check in found
        ]
    return "\n".join(lines) + "\n"


def table_beyond() -> str:
    """What goes beyond the rows, in Markdown."""
    lines = [
        "| what must hold | checked | sure | check | what of it is not seen here, and why |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {_cell(check.title)} | {check.stage} | {check.mark} | {_link(check)} | {_cell(check.limit)} |"
        for check in by_id()
        if check.row is None
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _link(check: Check) -> str:
    return f"[{check.id}](reference/checks.md#{check.id.lower()})"
