"""`seaproof run`: one command whose AWS clients talk to the local server."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import click

from seaproof.cli.session import coordinator, driver_option, open_session, project_options
from seaproof.errors import SeaproofError

HOOK = Path(__file__).parent / "hook"
"""The folder that goes onto PYTHONPATH; its sitecustomize.py is read by every Python that starts."""


@click.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@project_options
@driver_option
@click.option("--no-hook", is_flag=True, help="Set variables only; leave the addresses that SDKs build as they are.")
@click.argument("words", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def command(
    ctx: click.Context, folder: Path, as_json: bool, driver: str | None, no_hook: bool, words: tuple[str, ...]
) -> None:
    """Run a command whose AWS clients talk to the local server; it starts one where none runs.

    \b
      seaproof run -- python train_and_deploy.py
      seaproof run -- aws s3 ls

    It has the variables of `seaproof env`. A Python program also gets a hook at its start: clients for which an SDK
    builds an address of AWS by itself, as the SageMaker SDKs do for STS, go to the local server too. Nothing of
    the program is changed. The exit code is the command's own.
    """
    from seaproof.api import client_environment
    from seaproof.settings import inherited_environ

    session = open_session(folder, as_json, driver=driver)
    with coordinator(session) as client:
        client_environment.write_sdk_config(session.settings, session.state)
        environ = inherited_environ()
        values = client_environment.variables(client.url, session.settings, session.state, environ)
        for name in client_environment.unset(environ):
            environ.pop(name, None)
        environ |= values
        if not no_hook:
            environ["PYTHONPATH"] = ":".join(filter(None, (str(HOOK), environ.get("PYTHONPATH"))))
        code = _run(list(words), environ)
    ctx.exit(code)


def _run(words: list[str], environ: dict[str, str]) -> int:
    """Run the command to its end; Ctrl-C is the command's to handle."""
    try:
        process = subprocess.Popen(words, env=environ)
    except OSError as error:
        raise SeaproofError(
            f"the command cannot be started: {error.strerror}",
            where=words[0],
            next_step="Write it behind two dashes, as in: seaproof run -- python script.py",
        ) from error
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return 128 - code if code < 0 else code
