"""The `seaproof` command: which commands there are, loaded only when used, and how every error ends.

Exit codes: 0 done; 1 it could not be done; 2 the command line is wrong; 3 the user's own container failed (a job
that ended Failed, an endpoint that never came up, a model error); 130 interrupted.
"""

from __future__ import annotations

import errno
import importlib
import json
import sys
from typing import NoReturn

import click

from seaproof import __version__
from seaproof.errors import SeaproofError, ServiceError

# Command -> (module, line in --help). The line is here so that --help need not import the modules.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("seaproof.cli.init", "Write a new project: train and inference code, or the image of a saved model."),
    "train": ("seaproof.cli.train", "Run a training job on the project's data and show its log."),
    "explain": ("seaproof.cli.explain", "Say in words what a training config will do, before anything runs."),
    "serve": ("seaproof.cli.serve", "Deploy a trained model to an endpoint, or serve a saved model file as it is."),
    "pack": ("seaproof.cli.pack", "Pack saved model files into a model.tar.gz as the platform wants it."),
    "predict": ("seaproof.cli.predict", "Send a file or a line to an endpoint and print the answer."),
    "transform": ("seaproof.cli.transform", "Send the records of files through a model: a transform job."),
    "jobs": ("seaproof.cli.jobs", "Training, processing and transform jobs: list, describe, logs, stop."),
    "endpoints": ("seaproof.cli.endpoints", "Endpoints: list, describe, logs, delete."),
    "models": (
        "seaproof.cli.models",
        "Models of multi-model endpoints: what is loaded, and how much memory they need.",
    ),
    "check": ("seaproof.cli.check", "Prove an image, folder, model.tar.gz or request against SageMaker's contract."),
    "rehearse": ("seaproof.cli.rehearse", "Play the platform's bad days on a container, and say what clients saw."),
    "up": ("seaproof.cli.up", "Start the local server and leave it running."),
    "env": ("seaproof.cli.env", "Print what AWS clients need to talk to the local server, for your shell."),
    "run": ("seaproof.cli.run", "Run a command whose AWS clients talk to the local server."),
    "operations": ("seaproof.cli.operations", "List which operations of AWS the local server has, and what of each."),
    "down": ("seaproof.cli.down", "Stop the local server and everything that it runs."),
    "pipeline": ("seaproof.cli.pipeline", "Serve a chain of containers, running ones or started here, on one port."),
    "doctor": ("seaproof.cli.doctor", "Say which drivers work on this machine, and what to do for the others."),
    "build": ("seaproof.cli.build", "Build the project's image, under the name that it will have in ECR."),
    "push": ("seaproof.cli.push", "Push the project's image to ECR, and check what arrived."),
    "plan": ("seaproof.cli.plan", "Say what `seaproof ship` would do."),
    "ship": ("seaproof.cli.ship", "Bring the project to AWS: image, data, training job, model, endpoint."),
    "unship": ("seaproof.cli.unship", "Remove what was shipped, and only that."),
    "promote": ("seaproof.cli.promote", "Give a variant of an endpoint a share of the traffic."),
    "rollback": ("seaproof.cli.rollback", "Give an endpoint back to what it served before."),
    "proxy": ("seaproof.cli.proxy", "Serve an endpoint of AWS as plain HTTP on this machine, signed on the way."),
    "export": ("seaproof.cli.export", "Write a stage as CloudFormation, Terraform, Step Functions or a CI workflow."),
    "prices": ("seaproof.cli.prices", "Say which prices `seaproof plan --cost` reckons with, or read them from AWS."),
    "role": ("seaproof.cli.role", "Write the least-privilege role of the project, or create it."),
    "demo": ("seaproof.cli.demo", "Train, deploy, predict and replace an endpoint on real data."),
}

FAILED, USAGE, WORKLOAD_FAILED, INTERRUPTED = 1, 2, 3, 130
NOT_CHECKED = 2


class WorkloadFailed(SeaproofError):
    """The user's own container failed; the message is the platform's reason."""


class WasInterrupted(SeaproofError):
    """Ctrl-C, with a word on what runs on and how to go on."""


class NotChecked(SeaproofError):
    """`seaproof check` and `rehearse` could not do their work; their exit code 1 says that something would fail."""


class Commands(click.Group):
    """A group that knows its commands by name and imports the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[name][0]).command
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
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


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
    Exit codes: 0 done, 1 it could not be done, 2 the command line is wrong, 3 your container failed (a job, an
    endpoint, a prediction), 130 interrupted or stopped.
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
