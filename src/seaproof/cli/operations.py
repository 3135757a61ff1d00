"""`seaproof operations`: what the local server has of AWS's APIs."""

from __future__ import annotations

import difflib
from dataclasses import asdict
from textwrap import fill
from typing import TYPE_CHECKING

import click

from seaproof.cli.session import show_json

if TYPE_CHECKING:
    from seaproof.api.coverage import Operation

SERVICES = ("sagemaker", "sagemaker-runtime", "s3", "logs", "sts", "iam", "ecr", "sns", "sqs")


@click.command("operations")
@click.argument("names", nargs=-1, metavar="[OPERATION]...")
@click.option("--service", type=click.Choice(SERVICES), help="Of one service only.")
@click.option("--all", "everything", is_flag=True, help="List those too that are absent.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(names: tuple[str, ...], service: str | None, everything: bool, as_json: bool) -> None:
    """List which operations of AWS the local server has: real, partial, moto or absent.

    Real ones do all that their request can say. Partial ones name the members that they ignore (they are taken, shown
    by Describe, and have no effect on one machine) and those that they refuse by name. An absent operation is
    answered with an error that names it. Name operations, such as CreateModel, to see them whole.

    What is moto's is answered by moto in the same process (pip install "seaproof[neighbours]"), as far as moto goes.
    moto has many more services than are listed; docs/reference/operations.md names them.
    """
    from seaproof.api import coverage

    wanted = {name.lower() for name in names}
    found: dict[str, list[Operation]] = {}
    for one in (service,) if service else SERVICES:
        every = coverage.of_service(one)
        found[one] = [operation for operation in every if not wanted or operation.name.lower() in wanted]
    known = {operation.name.lower(): operation.name for one in found for operation in coverage.of_service(one)}
    for name in names:
        if name.lower() not in known:
            raise click.UsageError(_no_operation(name, known, list(found)))
    shown = {
        one: [operation for operation in every if everything or wanted or operation.state != coverage.ABSENT]
        for one, every in found.items()
    }
    if as_json:
        show_json([asdict(operation) for every in shown.values() for operation in every])
        return
    for one, every in shown.items():
        if every:
            has = sum(operation.state != coverage.ABSENT for operation in every)
            print(f"{one}: {has} of {len(coverage.of_service(one))} operations")
        of_moto = [operation.name for operation in every if operation.state == coverage.MOTO and not wanted]
        if of_moto:
            print(fill(f"moto: {', '.join(of_moto)}", 110, initial_indent="  ", subsequent_indent="        "))
        for operation in every:
            if operation.name in of_moto:
                continue
            print(f"  {operation.name:42} {operation.state}")
            for how, paths in (("ignored", operation.ignored), ("refused", operation.refused)):
                if paths:
                    _print_paths(how, paths, bool(wanted))


def _no_operation(name: str, known: dict[str, str], services: list[str]) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=1)
    guess = f" Did you mean {known[near[0]]}?" if near else ""
    return f"there is no operation {name} in the API of {', '.join(services)}.{guess}"


def _print_paths(how: str, paths: list[str], whole: bool) -> None:
    """What has no effect, or ends in an error; cut to one line where nobody asked for this operation."""
    if whole:
        for path in paths:
            print(f"      {how}  {path}")
        return
    line, room = "", 90
    for count, path in enumerate(paths):
        if len(line) + len(path) > room:
            line += f"and {len(paths) - count} more  "
            break
        line += f"{path}, "
    print(f"      {how}: {line.rstrip(', ')}")
