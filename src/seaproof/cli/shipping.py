"""What the commands that ship have in common: their options, the target they name, and how they show a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click
from click.core import ParameterSource

from seaproof.cli import requests
from seaproof.cli.by_config import as_project, checked_config
from seaproof.cli.interruption import ctrl_c_waits
from seaproof.cli.screen import Screen
from seaproof.cli.session import Session, coordinator, open_session, project_options
from seaproof.ship import drawing, record, shipment, target, waiting
from seaproof.ship.draft import Draft
from seaproof.ship.plan import Plan, Step
from seaproof.ship.record import Record
from seaproof.ship.secrecy import masked
from seaproof.ship.shipment import Shipment
from seaproof.ship.target import Target

Command = TypeVar("Command", bound=Callable[..., Any])
SHOWN = 4
"""Steps of one kind that are shown one by one; of more, the rest is counted."""


@dataclass
class Way:
    """Where a command ships to, once its options are read."""

    session: Session
    shipment: Shipment
    target: Target
    draft: Draft
    record: Record

    def drawn_anew(self) -> Draft:
        """An empty plan, for what has changed since the first was drawn."""
        return drawing.open_draft(self.session.project, self.session.settings, self.shipment, self.target)


class OnScreen:
    """A `waiting.Watcher` on the command's screen."""

    def __init__(self, screen: Screen, keep: TextIO | None = None) -> None:
        self._screen, self._keep = screen, keep

    def step(self, number: int, of: int, step: Step) -> None:
        self._say(f"{number}/{of}  {step.title}{_size(step.size)}", self._screen.step)

    def status(self, text: str) -> None:
        self._screen.step(masked(text))

    def log(self, line: str) -> None:
        self._say(f"  | {line}", self._screen.line)

    def note(self, text: str) -> None:
        self._say(f"note: {text}", self._screen.line)

    def _say(self, text: str, show: Callable[[str], None]) -> None:
        text = masked(text)
        if self._keep is not None:
            print(text, file=self._keep)
        show(text)


def target_options(command: Command) -> Command:
    """The options of every command that ships: --stage, --target, --profile, --region, and those of a project."""
    command = click.option(
        "--target",
        "target_name",
        type=click.Choice(shipment.TARGETS),
        help="Where to.  [default: as [ship] says, else aws]",
    )(command)
    return project_options(stage_options(command))


def stage_options(command: Command) -> Command:
    """--stage, --profile and --region alone."""
    command = click.option("--region", help="Region of AWS.  [default: the stage's, else the profile's]")(command)
    command = click.option(
        "--profile", help="Profile of ~/.aws/config.  [default: the stage's, else the environment's]"
    )(command)
    return click.option("--stage", default="", help="A [stage.NAME] of seaproof.toml, laid over [ship].")(command)


def was_given(name: str) -> bool:
    """Whether an option of the command that runs was said, rather than left to its default."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def refuse_with_target(names: Iterable[str], target_name: str | None) -> None:
    """UsageError where one of these options was given: SageMaker has nothing that it could mean."""
    for parameter in click.get_current_context().command.params:
        if parameter.name in names and was_given(parameter.name):
            other = f"--target {target_name}" if target_name else "--stage"
            raise click.UsageError(f"{max(parameter.opts, key=len)} does not go with {other}")


def refuse_without_target(*names: str) -> None:
    """UsageError where one of these options was given to a command that runs on this machine."""
    for parameter in click.get_current_context().command.params:
        if parameter.name in names and was_given(parameter.name):
            raise click.UsageError(f"{max(parameter.opts, key=len)} goes with --target or --stage")


def stop_job(found: Way, kind: str, planned: str, left: KeyboardInterrupt, watcher: OnScreen) -> tuple[str, str]:
    """After Ctrl-C: stop the TrainingJob or TransformJob and wait until it has ended; its name, and its status then.

    It is the one that was waited for, else the one that was planned; the status is empty where there is none. A second
    Ctrl-C does not wait.
    """
    waited = left if isinstance(left, waiting.Interrupted) else None
    name = waited.name if waited else planned
    asked = {f"{kind}Name": name}
    job = found.target.find("sagemaker", f"Describe{kind}", asked)
    if job is None:
        return name, ""
    if job[f"{kind}Status"] == "InProgress":
        with ctrl_c_waits() as came_again:
            watcher.note(f"stopping {name}; Ctrl-C again leaves without waiting")
            found.target.call("sagemaker", f"Stop{kind}", asked)
        if came_again():
            raise KeyboardInterrupt
    try:
        job = waiting.job(found.target, watcher, kind, name, waited.log if waited else None)
    except waiting.EndedBadly:
        job = found.target.call("sagemaker", f"Describe{kind}", asked)
    return name, str(job[f"{kind}Status"])


@contextmanager
def way(
    folder: Path,
    as_json: bool,
    stage: str,
    target_name: str | None,
    profile: str | None,
    region: str | None,
    config: Path | None = None,
    channels: Mapping[str, str] | None = None,
    hyperparameters: Mapping[str, str] | None = None,
    over: Mapping[str, Any] | None = None,
    *,
    changes: bool = False,
    anywhere: bool = False,
) -> Iterator[Way]:
    """Read the stage, open its target, and load its record; with `changes`, nobody else changes the stage meanwhile;
    `anywhere`: the folder need be no project.

    What `channels` and `hyperparameters` say comes before the file; so does `over`, which is laid over the stage. A
    training config, of the project or in the file `config`, becomes what the training job is told.
    """
    session = open_session(folder, as_json)
    if not anywhere:
        requests.check_project(session.project)
    given, told = dict(channels or {}), dict(hyperparameters or {})
    checked = checked_config(session, config, given, told)
    session = as_project(session, checked) if checked else _told(session, given, told)
    wanted = shipment.read(session.project, stage, over, target=target_name, profile=profile, region=region)
    if wanted.target == "local":
        with coordinator(session) as client:
            here = target.local(client.url, session.settings.region, session.settings.account)
            with _way(session, wanted, here, changes) as found:
                yield found
    else:
        with _way(session, wanted, target.aws(wanted.profile, wanted.region), changes) as found:
            yield found


def _told(session: Session, channels: dict[str, str], hyperparameters: dict[str, str]) -> Session:
    """The session of a project that says what the command line says."""
    training = session.project.training
    training = replace(
        training,
        channels={**training.channels, **channels},
        hyperparameters={**training.hyperparameters, **hyperparameters},
    )
    return replace(session, project=replace(session.project, training=training))


@contextmanager
def _way(session: Session, wanted: Shipment, found: Target, changes: bool) -> Iterator[Way]:
    path = record.path_of(session.state, found.name, found.account, found.region, wanted.label)
    with record.alone(path) if changes else nullcontext():
        draft = drawing.open_draft(session.project, session.settings, wanted, found)
        yield Way(session, wanted, found, draft, record.load(path, found.account, found.region))


def show_plan(plan: Plan) -> None:
    """A plan for people: what would be done, what is there, what is left out."""
    print(f"{plan.target}, account {plan.account}, region {plan.region}, stage {plan.stage}")
    if not plan.steps:
        print("Nothing to do: everything is there as seaproof.toml says.")
    for number, line in enumerate(_lines(plan), 1):
        print(f"{number:4}. {line}")
    for line in plan.kept:
        print(f"   =  {masked(line)}")
    for line in plan.left_out:
        print(f"   -  left out: {line}")


def _lines(plan: Plan) -> Iterator[str]:
    """A line for each step; of many uploads in a row, the first ones."""
    run: list[Step] = []
    for step in [*plan.steps, None]:
        if step is not None and step.source:
            run.append(step)
            continue
        yield from (_line(each) for each in run[:SHOWN])
        if len(run) > SHOWN:
            rest = run[SHOWN:]
            yield f"upload {len(rest)} more files{_size(sum(each.size for each in rest))}"
        run = []
        if step is not None:
            yield _line(step)


def _line(step: Step) -> str:
    return masked(f"{step.title}{_size(step.size)}  ({step.call})")


def _size(size: int) -> str:
    if not size:
        return ""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f", {size:.0f} {unit}"
        size = size // 1000 if unit != "bytes" else round(size / 1000)
    return f", {size:.0f} GB"
