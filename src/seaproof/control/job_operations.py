"""What the operations on jobs have in common, whatever the job is for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from seaproof.contract.opt_ml import host_names
from seaproof.control import fields, tags
from seaproof.control.job_endings import ENDED, IN_PROGRESS, STOPPING
from seaproof.control.job_record import JobRecord
from seaproof.control.job_steps import Course, J, clear, start
from seaproof.control.plane import Plane
from seaproof.control.store import Body, Record
from seaproof.drivers.driver import Handle
from seaproof.errors import ServiceError

Note = tuple[str, str]
"""Type and message of an event."""


def started(request: Body, hosts: int, ignored: list[str]) -> Body:
    """The body of a new record: what the request gives, and what the first step needs."""
    given = {key: value for key, value in request.items() if value not in (None, {}, [])}
    return {**given, "_ignored": ignored, "_step": "Starting", "_hosts": list(host_names(hosts)), "_exits": {}}


def insert(plane: Plane, job: type[JobRecord], request: Body, body: Body, notes: Sequence[Note] = ()) -> None:
    """Put a new job on record, with its tags and what is noted of it. ResourceInUse where its name is taken.

    `body` is that of `started`, with the job's own members.
    """
    noun, name = job.noun, request[f"{job.noun}JobName"]
    arn, given = body[f"{noun}JobArn"], tags.of_request(request)
    with plane.store.transaction():
        if plane.store.insert(job.kind, name, arn, IN_PROGRESS, body) is None:
            raise ServiceError(
                "ResourceInUse",
                f"{noun} job names must be unique within an AWS account and region, and a {noun.lower()} job with this"
                f" name already exists ({arn})",
            )
        plane.store.set_tags(arn, given)
        fields.note(plane.store, job.kind, name, body["_ignored"])
        for type, message in notes:
            plane.store.add_event(job.kind, name, type, message)


def find(plane: Plane, job: type[JobRecord], request: Body) -> Record:
    """The record that a request names. ValidationException where there is none."""
    name = request[f"{job.noun}JobName"]
    record = plane.store.get(job.kind, name)
    if record is None:
        raise ServiceError("ValidationException", job.absent.format(name))
    return record


def shown(record: Record, hidden: Collection[str]) -> Body:
    """What Describe answers: all of the record but the members that it does not have."""
    body = {**record.body, "CreationTime": record.created, "LastModifiedTime": record.modified}
    return {key: value for key, value in body.items() if not key.startswith("_") and key not in hidden}


def summary(job: type[JobRecord], record: Record, *more: str) -> Body:
    """What List answers for one job, with `more` members of its record, where it has them."""
    return {
        f"{job.noun}JobName": record.name,
        f"{job.noun}JobArn": record.arn,
        "CreationTime": record.created,
        "LastModifiedTime": record.modified,
        f"{job.noun}JobStatus": record.status,
        **{key: record.body[key] for key in more if key in record.body},
    }


def stop(plane: Plane, job: type[JobRecord], request: Body, ask: Callable[[Body], None]) -> None:
    """Ask a job to stop, once; `ask` changes its record's body. ValidationException where it has ended."""
    with plane.store.transaction():
        record = find(plane, job, request)
        if record.status in ENDED:
            raise ServiceError(
                "ValidationException",
                f"The request was rejected because the {job.noun.lower()} job is in status {record.status}.",
            )
        if record.status != STOPPING:
            plane.store.update(job.kind, record.name, ask, status=STOPPING)


def recover(plane: Plane, kind: type[J], course: Course[J], living: Sequence[Handle]) -> list[Handle]:
    """Go on with every job of a kind that an earlier coordinator left, from the step that its record names.

    `living` is what the driver's `recover()` found. Returns the handles that jobs adopted; all others are strays as
    far as these jobs are concerned. A container that is not among the living fails its job with InternalServerError.
    """
    by_name = {handle.name: handle for handle in living}
    adopted = []
    for record in plane.store.records(kind.kind):
        job = kind(plane, record.name, by_name)
        if record.status in ENDED:
            # It may have ended just before the coordinator did.
            clear(job)
            continue
        plane.store.add_event(kind.kind, record.name, "recovered", f"goes on from the step {record.body['_step']}")
        if record.body["_step"] == kind.noun:
            # In any other step no container of the job has a reason to live.
            names = [job.workload(host) for host in record.body["_hosts"]]
            adopted += [by_name[name] for name in names if name in by_name]
        start(job, course)
    return adopted
