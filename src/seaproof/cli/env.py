"""`seaproof env`: what to set in a shell so that AWS clients talk to the local server."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import click

from seaproof.cli.session import living, open_session, project_options, show_json

FORMATS: dict[str, tuple[Callable[[str, str], str], Callable[[str], str]]] = {
    "sh": (lambda name, value: f"export {name}={shlex.quote(value)}", lambda name: f"unset {name}"),
    "fish": (lambda name, value: f"set -gx {name} {shlex.quote(value)}", lambda name: f"set -e {name}"),
    "powershell": (
        lambda name, value: "$env:{} = '{}'".format(name, value.replace("'", "''")),
        lambda name: f"Remove-Item Env:{name} -ErrorAction SilentlyContinue",
    ),
    "dotenv": (lambda name, value: f"{name}={value}", lambda name: f"# {name} must not be set"),
}
"""How a shell sets a variable and forgets one."""


@click.command("env")
@project_options
@click.option("--format", "shape", type=click.Choice([*FORMATS]), default="sh", help="For which shell.  [default: sh]")
def command(folder: Path, as_json: bool, shape: str) -> None:
    """Print what AWS clients need to talk to the local server, for a shell to take over.

    \b
      eval "$(seaproof env)"                          sh, bash, zsh
      seaproof env --format fish | source             fish
      seaproof env --format powershell | Out-String | Invoke-Expression

    After it boto3, the AWS CLI and the SageMaker SDKs of this shell use the local server, and nothing else. The
    SDKs' own configuration file is set too: it gives them a default bucket and a role, so that they need not ask STS,
    whose address they build themselves. `seaproof run -- COMMAND` does all this for one command.
    """
    from seaproof.api import client_environment
    from seaproof.settings import inherited_environ

    session = open_session(folder, as_json)
    with living(session) as found:
        url = found.url
    client_environment.write_sdk_config(session.settings, session.state)
    around = inherited_environ()
    values = client_environment.variables(url, session.settings, session.state, around)
    if as_json:
        show_json(values)
        return
    assign, forget = FORMATS[shape]
    for name in client_environment.unset(around):
        print(forget(name))
    for name, value in values.items():
        print(assign(name, value))
