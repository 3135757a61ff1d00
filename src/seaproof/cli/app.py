"""The `seaproof` command: which commands there are, loaded only when used, and how every error ends.

Exit codes: 0 done; 1 it could not be done; 2 the command line is wrong; 3 the user's own container failed (a job
that ended Failed, an endpoint that never came up, a model error); 130 interrupted.
"""

from __future__ import annotations

import errno
import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from seaproof import __version__
from seaproof.errors import SeaproofError, ServiceError

# Section of --help -> command -> its line there; each line fits a terminal of 80 columns. They are here so that
# --help need not import the commands' modules.
SECTIONS: dict[str, dict[str, str]] = {
    "Begin": {
        "init": "Write a project that runs: code and data, or a saved model.",
        "demo": "Train, deploy, predict and replace an endpoint on real data.",
        "doctor": "Say which drivers work here, and what to do for the others.",
    },
    "Train and serve": {
        "train": "Run a training job on the project's data and show its log.",
        "explain": "Say in words what a training config will do; run nothing.",
        "serve": "Deploy a trained model to an endpoint, or serve a model file.",
        "predict": "Send a file or a line to an endpoint and print the answer.",
        "transform": "Send the records of files through a model: a transform job.",
        "pack": "Pack saved model files into a model.tar.gz for SageMaker.",
        "pipeline": "Serve a chain of containers, running ones or started here.",
    },
    "Look at what is there": {
        "jobs": "Jobs of all kinds: list, describe, logs, stop.",
        "endpoints": "Endpoints: list, describe, logs, shadow, delete.",
        "models": "Models of multi-model endpoints: loaded, asked for, evicted.",
    },
    "Prove a container": {
        "check": "Hold an image, folder or archive against SageMaker's contract.",
        "rehearse": "Play the platform's bad days, and say what clients saw.",
    },
    "The local server": {
        "up": "Start the local server and leave it running.",
        "env": "Print what AWS clients need to talk to it, for your shell.",
        "run": "Run a command whose AWS clients talk to it.",
        "operations": "List which operations of AWS it has, and what of each.",
        "down": "Stop it and everything that it runs.",
    },
    "Ship to AWS": {
        "plan": "Say what `seaproof ship` would do, and what it costs.",
        "ship": "Bring the project to AWS: image, data, job, model, endpoint.",
        "unship": "Remove what was shipped, and only that.",
        "build": "Build the project's image, under its name in ECR.",
        "push": "Push the project's image to ECR, and check what arrived.",
        "role": "Write the least-privilege role of the project, or create it.",
        "promote": "Give a variant of an endpoint a share of the traffic.",
        "rollback": "Give an endpoint back to what it served before.",
        "proxy": "Serve an endpoint of AWS here as plain HTTP, without signing.",
        "export": "Write a stage for CloudFormation, Terraform and others.",
        "prices": "Say which prices `seaproof plan --cost` reckons with.",
    },
}
COMMANDS = tuple(name for lines in SECTIONS.values() for name in lines)
"""Every command; each is a module of its name in this package."""


FAILED, USAGE, WORKLOAD_FAILED, INTERRUPTED = 1, 2, 3, 130
NOT_CHECKED = 2


class WorkloadFailed(SeaproofError):
    """The user's own container failed; the message is the platform's reason."""


class WasInterrupted(SeaproofError):
    """Ctrl-C, with a word on what runs on and how to go on."""


class NotChecked(SeaproofError):
    """`seaproof check` and `rehearse` could not do their work; their exit code 1 says that something would fail."""


@contextmanager
def checking() -> Iterator[None]:
    """What goes wrong in here is not the container's fault: NotChecked."""
    try:
        yield
    except SeaproofError as error:
        raise NotChecked(error.what, where=error.where, next_step=error.next_step) from error


class Commands(click.Group):
    """A group that knows its commands by name and imports the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"seaproof.cli.{name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            guess = f" Did you mean `seaproof {near[0]}`?" if near else ""
            ctx.fail(f"there is no command {args[0]!r}.{guess} `seaproof --help` lists them all.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for title, lines in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), line) for name, line in lines.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="seaproof")
def seaproof() -> None:
    """Prove a SageMaker container on your own machine.

    \b
    A first round:
      seaproof init flowers && cd flowers
      seaproof train                 a real training job, its log, model.tar.gz
      seaproof serve --detach        a real endpoint
      seaproof predict data/sample.csv
      seaproof down

    Containers run in Docker where an engine answers, and as plain processes with their own /opt/ml where none does;
    `seaproof doctor` says which. Every command explains itself with --help and takes --json.

    \b
    Exit codes: 0 done, 1 it could not be done, 2 the command line is wrong,
    3 your container failed (a job, an endpoint, a prediction), 130 interrupted or
    stopped.
    """


def run() -> NoReturn:
    """Run the command line of this process; never returns."""
    try:
        # Click hands back the code of ctx.exit() and of click.exceptions.Exit; commands return nothing.
        sys.exit(seaproof.main(standalone_mode=False) or 0)
    except click.exceptions.Abort:
        _complain("interrupted", INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as help_text:
        click.echo(help_text.format_message(), err=True)
        sys.exit(USAGE)
    except click.UsageError as error:
        context = f"\nUsage and options: {error.ctx.command_path} --help" if error.ctx else ""
        _complain(error.format_message() + context, USAGE)
    except click.ClickException as error:
        _complain(error.format_message(), error.exit_code)
    except WorkloadFailed as error:
        _complain(str(error), WORKLOAD_FAILED, error)
    except WasInterrupted as error:
        _complain(str(error), INTERRUPTED, error)
    except NotChecked as error:
        _complain(str(error), NOT_CHECKED, error)
    except ServiceError as error:
        code = WORKLOAD_FAILED if error.code == "ModelError" else FAILED
        _complain(f"{error.code}: {error}", code, error)
    except SeaproofError as error:
        _complain(str(error), FAILED, error)
    except KeyboardInterrupt:
        _complain("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader went away (`| head`): no error of ours, and nothing more to say. Python would complain when it
        # flushes stdout on its way out.
        sys.stderr.close()
        sys.exit(FAILED)
    except OSError as error:
        told = SeaproofError(error.strerror or str(error), where=str(error.filename or ""), next_step=_advice(error))
        _complain(str(told), FAILED, told)


def _advice(error: OSError) -> str:
    """What to do where a file or folder cannot be written or read."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "That needs leave to write there: change the owner or mode, or name another folder with SEAPROOF_STATE."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Make room on the disk, then say the same command again."
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return "A file stands where a folder is needed, or the other way round: move it away."
    return ""


def _complain(text: str, code: int, error: SeaproofError | None = None) -> NoReturn:
    """One paragraph on stderr, or one JSON object where --json was asked for."""
    if "--json" in sys.argv:
        what = error.what if error else text
        shown = {"what": what, "where": error.where if error else "", "next_step": error.next_step if error else ""}
        if isinstance(error, ServiceError):
            shown = {"code": error.code, **shown, **error.members}
        text = json.dumps({"error": shown})
    else:
        text = f"seaproof: {text}"
    sys.stdout.flush()
    print(text, file=sys.stderr)
    sys.exit(code)
