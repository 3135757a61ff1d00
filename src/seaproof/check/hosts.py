"""Training on several hosts: they find one another, and go on where one has nothing to read."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from seaproof.check.check import RUN, Finding, NotApplicable, check, fail, warn
from seaproof.check.subject import Subject
from seaproof.check.training_run import Training, completed, finish, prepare, start_training, tail

_HARD_CODED = re.compile(r"""["'](algo-\d+|ethwe|eth[01])["']""")
_SOURCES = (".py", ".sh", ".R", ".jl", ".js", ".java", "")
_LATE = 1.5
"""Seconds by which the last host is later than the others, its name not known until then."""


@check(
    "SP042",
    "A host whose share of a channel is empty goes on",
    row=42,
    symptom="some hosts idle, or fail on an empty channel",
    platform="deals objects out to hosts with ShardedByS3Key; where there are fewer objects than hosts some get none",
    fix="if not files: ...        # take part in the exchange with nothing, or use FullyReplicated",
    stage=RUN,
    roles=("training",),
    mark="D",
    sources="sdk#420",
)
def an_empty_share_is_enough(subject: Subject) -> Iterator[Finding]:
    last = _last(subject)
    dealt = [name for name in subject.options.channels if subject.options.shards(name)]
    ended = run_hosts(subject, empty=last, channels=dealt or list(subject.options.channels))
    for host, found in ended.items():
        if not found.completed:
            cause = f"{host} {_how(found)}, with nothing in the channels of {last}"
            if dealt:
                yield fail(cause, tail(found))
            else:
                yield warn(f"{cause}: ShardedByS3Key would give it nothing where objects are few", tail(found))


@check(
    "SP043",
    "Hosts find one another by the files they are given, some later than others",
    row=43,
    symptom='"Could not resolve algo-2"; the rendezvous hangs',
    platform="names hosts and interface in resourceconfig.json; names resolve late, and sort as text: algo-10, algo-2",
    fix='hosts = json.load(open("/opt/ml/input/config/resourceconfig.json"))["hosts"]',
    stage=RUN,
    roles=("training",),
    mark="C",
    sources="training toolkit",
    limit="the interface has one name here: what takes it for granted is found in the program's text only",
)
def hosts_find_one_another(subject: Subject) -> Iterator[Finding]:
    last = _last(subject)
    files = subject.files()
    for entry in files.walk(subject.config().workdir):
        suffix = f".{entry.path.rpartition('.')[2]}" if "." in entry.path.rpartition("/")[2] else ""
        if entry.is_file and suffix in _SOURCES and entry.size < 1 << 20:
            text = files.read(entry.path).decode("utf-8", "replace")
            if found := _HARD_CODED.search(text):
                line = text[: found.start()].count("\n") + 1
                yield warn(f"{found[1]} is written into {entry.path}", place=f"{files.place(entry.path)}:{line}")
    for host, ended in run_hosts(subject, late=last).items():
        if not ended.completed:
            yield fail(f"{host} {_how(ended)}, with {last} a moment later than the others", tail(ended))


def run_hosts(
    subject: Subject, *, empty: str = "", channels: list[str] | None = None, late: str = ""
) -> dict[str, Training]:
    """Run `train` on all hosts at once, as the platform starts them.

    `empty` names one whose `channels` have no files; `late` one that starts after the others, and whose name does not
    resolve before.
    """
    number = subject.options.hosts
    subject.lab.say(f"training on {number} hosts")
    runs, name, begun = {}, f"check-job-{time.monotonic_ns()}", time.monotonic()
    for host in sorted((f"algo-{n}" for n in range(1, number + 1)), key=lambda host: (host == late, host)):
        root = prepare(subject, subject.options.hyperparameters, hosts=number, host=host)
        if host == empty:
            for channel in channels or ():
                _empty(root / "input" / "data" / channel)
        if host == late:
            time.sleep(_LATE)
        unresolved = (late,) if late and host != late else ()
        runs[host] = start_training(subject, root, hostname=host, network=name, unresolved=unresolved)
    deadline = begun + subject.options.patience
    return {host: finish(run, max(0.1, deadline - time.monotonic()), begun) for host, run in runs.items()}


def _empty(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
        folder.mkdir()


def _last(subject: Subject) -> str:
    """The last host's name; NotApplicable where there is one host only."""
    if subject.options.hosts < 2:
        raise NotApplicable("one host is asked for (--hosts 2)")
    completed(subject)
    return f"algo-{subject.options.hosts}"


def _how(training: Training) -> str:
    return "did not end" if training.exit is None else f"ended with exit code {training.exit.code}"
