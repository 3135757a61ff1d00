"""Taking back what a stage created, newest first, and nothing else: what others use by now stays, and is said to.

What stays is kept on record, so that a later `unship` removes it once nobody has a use for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from seaproof.errors import SeaproofError, ServiceError
from seaproof.ship import record as records
from seaproof.ship import refusals, waiting
from seaproof.ship.plan import Call, Step
from seaproof.ship.record import Made, Record
from seaproof.ship.target import Target
from seaproof.ship.waiting import Watcher

_FIRST_TO_GO = {"DeleteScalingPolicy": 0, "DeregisterScalableTarget": 1, "DeleteEndpoint": 2, "UpdateEndpoint": 2}
_HELD_BY_OTHERS = {"BucketNotEmpty", "RepositoryNotEmptyException", "DeleteConflict"}
_OF_THE_PLACE = ("DeleteBucket", "DeleteRepository", "BatchDeleteImage", "DeleteRole", "DeleteRolePolicy")
"""What the stages of a project share; the rest has the stage in its name."""
_OBJECTS = 1000
"""Keys in one DeleteObjects, at most. Source: the S3 API Reference."""
_WORDS = (
    ("create ", "delete "),
    ("upload ", "delete "),
    ("push ", "delete "),
    ("run ", "delete what was left by "),
    ("update ", "give back "),
)


@dataclass
class TakenBack:
    """What came of it, in words."""

    removed: list[str] = field(default_factory=list)
    stays: list[str] = field(default_factory=list)


def take_back(record: Record, target: Target, watcher: Watcher) -> TakenBack:
    """Remove what the record names. SeaproofError where a call is refused; what was removed before it is off record."""
    # An endpoint goes before all that it stands on, whenever that was made.
    order = list(reversed(record.made))
    order.sort(key=lambda made: _FIRST_TO_GO.get(made.undo.operation, len(_FIRST_TO_GO)))
    outcome = TakenBack()
    number = 0
    for portion in _portions(order):
        title = removal(portion[0].title) + (f" and {len(portion) - 1} more" if len(portion) > 1 else "")
        number += len(portion)
        watcher.step(number, len(order), Step(title, portion[0].undo))
        try:
            why = _one(portion[0], record, target, watcher) if len(portion) == 1 else _objects(portion, target)
        except SeaproofError as error:
            code = f"{error.code}: " if isinstance(error, ServiceError) else ""
            raise SeaproofError(
                f"{title} was not done: {code}{error.what}",
                where=str(portion[0].undo),
                next_step=f"{error.next_step} What came before it is removed; `seaproof unship` again goes on.".strip(),
            ) from error
        if why:
            watcher.note(f"{portion[0].title.partition(' ')[2]} stays: {why}")
            outcome.stays.append(f"{portion[0].title.partition(' ')[2]}: {why}")
        else:
            record.forget(portion)
            outcome.removed += [removal(made.title) for made in portion]
    if not record.made:
        record.endpoint_configs.clear()
        record.others_configs.clear()
    record.save()
    return outcome


def removal(title: str) -> str:
    """What is done about a step, in words: `create bucket b` -> `delete bucket b`."""
    for before, after in _WORDS:
        if title.startswith(before):
            return after + title.removeprefix(before).replace(" to s3://", " from s3://")
    return f"take back: {title}"


def delete_prefix(request: Mapping[str, Any], target: Target) -> None:
    """Remove every object below a prefix."""
    keys = [found["Key"] for found in target.pages("s3", "ListObjectsV2", request, "Contents")]
    for start in range(0, len(keys), _OBJECTS):
        _delete(request["Bucket"], keys[start : start + _OBJECTS], target)


def _portions(order: Sequence[Made]) -> Iterator[list[Made]]:
    """Each thing by itself; objects of one bucket that follow each other together."""

    def place(made: Made) -> str:
        return str(made.undo.request["Bucket"]) if made.undo.operation == "DeleteObject" else ""

    for bucket, group in groupby(order, place):
        held = list(group)
        size = _OBJECTS if bucket else 1
        yield from (held[start : start + size] for start in range(0, len(held), size))


def _one(made: Made, record: Record, target: Target, watcher: Watcher) -> str:
    """Take one thing back; why it stays, if it does."""
    call = made.undo
    if call.operation in _OF_THE_PLACE and (stages := records.others(record)):
        stages[0].made.insert(0, made)
        stages[0].save()
        record.forget([made])
        return (
            f"another stage stands ({stages[0].path.stem.rpartition(f'{record.region}-')[2]}), which has it from now on"
        )
    try:
        if call.operation in ("DeleteEndpoint", "UpdateEndpoint"):
            return _endpoint(call, record, target, watcher)
        if call.service == "files":
            delete_prefix(call.request, target)
        else:
            target.call(call.service, call.operation, call.request)
    except ServiceError as error:
        if error.code in _HELD_BY_OTHERS:
            return "others have things in it"
        if not refusals.means_absent(error):
            raise
    return ""


def _endpoint(call: Call, record: Record, target: Target, watcher: Watcher) -> str:
    """Delete the endpoint, or give it what it had before the first shipping; unless others have changed it since."""
    name = str(call.request["EndpointName"])
    found = target.call("sagemaker", "DescribeEndpoint", {"EndpointName": name})
    serves = found["EndpointConfigName"]
    if call.operation == "UpdateEndpoint" and serves == call.request["EndpointConfigName"]:
        return ""
    if serves not in record.endpoint_configs or serves in record.others_configs:
        return f"it serves {serves}, which others have given it"
    target.call(call.service, call.operation, call.request)
    kind = "endpoint to go" if call.operation == "DeleteEndpoint" else "endpoint"
    waiting.wait(Step("", call, waits_for=kind), target, watcher)
    return ""


def _objects(portion: Sequence[Made], target: Target) -> str:
    _delete(str(portion[0].undo.request["Bucket"]), [str(made.undo.request["Key"]) for made in portion], target)
    return ""


def _delete(bucket: str, keys: Sequence[str], target: Target) -> None:
    wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
    try:
        answer = target.call("s3", "DeleteObjects", {"Bucket": bucket, "Delete": wanted})
    except ServiceError as error:
        if refusals.means_absent(error):
            return
        raise
    for refused in answer.get("Errors", [])[:1]:
        raise ServiceError(str(refused.get("Code")), f"{refused.get('Key')}: {refused.get('Message')}")
