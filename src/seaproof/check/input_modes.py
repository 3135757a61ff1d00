"""How training data arrives: as pipes that are fed, or as a folder that is read where it lies."""

from __future__ import annotations

import re
from collections.abc import Iterator

from seaproof.check.check import RUN, Evidence, Finding, NotApplicable, Unchecked, check, fail, warn
from seaproof.check.startup import first_training
from seaproof.check.subject import Subject
from seaproof.check.training_run import Training, tail

_WRITES = re.compile(r"[^\n]*(?:Read-only file system|EROFS)[^\n]*")


@check(
    "SP041",
    "Pipe mode: each FIFO is opened by its name, and read to its end",
    row=41,
    symptom="the data folder is empty, or opening the data hangs",
    platform="serves a channel in Pipe mode as FIFOs `<channel>_<epoch>`, one reader each; there is no folder",
    fix='with open(f"/opt/ml/input/data/{channel}_{epoch}", "rb") as fifo: ...',
    stage=RUN,
    roles=("training",),
    mark="D",
    sources="tensorflow-extensions#47",
)
def pipes_are_read(subject: Subject) -> Iterator[Finding]:
    if subject.options.input_mode != "Pipe":
        raise NotApplicable("Pipe mode is not asked for (--input-mode Pipe)")
    found = first_training(subject)
    feed = found.run.feed if found.run else None
    if feed is None:
        raise Unchecked("it could not be started; see SP117", blocks=False)
    told = Evidence("FIFOs", "\n".join(feed.told()))
    if found.exit is None:
        yield fail("it hangs with its data in pipes", told, tail(found))
    elif not found.completed:
        yield fail(f"it ends with exit code {found.exit.code} with its data in pipes", told, tail(found))
    elif unread := feed.unread():
        yield fail(f"{unread[0]} was never opened", told)
    for name, readers in sorted(feed.readers.items()):
        if readers > 1:
            yield fail(f"{name} was opened by {readers} readers at once: each gets a part of it, cut anywhere", told)


@check(
    "SP119",
    "FastFile mode: data is read where it lies, and nothing is written there",
    symptom="`Read-only file system` below /opt/ml/input/data, only with FastFile",
    platform="mounts the objects of a channel read-only in FastFile mode, and fetches them when they are read",
    fix='cache = "/tmp/cache"        # not a folder below /opt/ml/input/data',
    stage=RUN,
    roles=("training",),
    mark="D",
    limit="how slow it is to read there: nothing is fetched from S3 here",
)
def data_is_not_written(subject: Subject) -> Iterator[Finding]:
    if subject.options.input_mode != "FastFile":
        raise NotApplicable("FastFile mode is not asked for (--input-mode FastFile)")
    if not subject.lab.isolates:
        raise Unchecked("namespaces are not allowed here, so no folder can be read-only", next_step="--driver docker")
    found = first_training(subject)
    said = wrote_its_data(found)
    if said and not found.completed:
        yield fail("it ends where it wants to write to its data, which is read-only", said, tail(found))
    elif said:
        yield warn("it tries to write to its data", said)
    elif not found.completed:
        raise Unchecked("the training with the data given did not complete; see SP117", blocks=False)


def wrote_its_data(training: Training) -> Evidence | None:
    """What it said where it wanted to write to data that is read-only."""
    said = _WRITES.search(f"{training.log}\n{training.failure()}")
    return Evidence("it said", said[0].strip()) if said else None
