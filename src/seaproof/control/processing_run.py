"""What a processing job does with its containers: what it runs in them, what they say at their end, their outputs."""

from __future__ import annotations

import codecs
import threading
from functools import partial

from seaproof.contract.limits import REAL_TIME
from seaproof.contract.opt_ml import OptMl
from seaproof.control import checkpoints
from seaproof.control.archives import merge
from seaproof.control.artifacts import is_inside, upload_files
from seaproof.control.container_job import ending_of
from seaproof.control.job_containers import run_containers, save_again_and_again, verdict
from seaproof.control.job_endings import COMPLETED, Ending
from seaproof.control.processing_record import Job
from seaproof.control.processing_request import Output, read_outputs
from seaproof.control.store import Body
from seaproof.drivers.driver import Workload
from seaproof.storage.storage import Address, parse_address

SAVE_SECONDS = 3.0
_NOT_TEXT = "ClientError: The exit message in /opt/ml/output/message of {} is not UTF-8: {}"
_UNEXPLAINED = "See job logs for more information"


def run_processing(job: Job) -> Ending | None:
    """Run all hosts to their end; None where every one ended with 0, or the coordinator shuts down."""
    ending = run_containers(job, partial(_workload, job), partial(_save_meanwhile, job))
    if job.plane.closing.is_set():
        return None
    return _keep_messages(job) or ending or verdict(job, "program", _UNEXPLAINED)


def save_outputs(job: Job) -> None:
    """Save the outputs of all hosts; those that are due at the end of the job only where it completes."""
    body = job.body()
    ending = ending_of(body)
    completes = ending is None or ending.status == COMPLETED
    for output in read_outputs(body):
        if completes or output.continuous:
            _save(job, output)
        else:
            job.tell("outputs", f"{output.name} was not saved: EndOfJob outputs are those of jobs that complete")


def _workload(job: Job, body: Body, host: str) -> Workload:
    app, settings = body["AppSpecification"], job.plane.settings
    entrypoint = app.get("ContainerEntrypoint")
    return Workload(
        name=job.workload(host),
        image=app["ImageUri"],
        opt_ml=job.root(host),
        entrypoint=tuple(entrypoint) if entrypoint else None,
        arguments=tuple(app.get("ContainerArguments") or ()),
        environment={"AWS_REGION": settings.region, **body.get("Environment", {})},
        hostname=host,
        network=job.name if len(body["_hosts"]) > 1 else None,
        isolated=bool((body.get("NetworkConfig") or {}).get("EnableNetworkIsolation")),
        memory=settings.memory * 1024 * 1024 or None,
    )


def _keep_messages(job: Job) -> Ending | None:
    """Keep what the hosts left in output/message; an Ending where one of them is no text."""
    limit, body = REAL_TIME.exit_message.value, job.body()
    for host in body["_hosts"]:
        path = OptMl(job.root(host)).message
        if not path.is_file() or not is_inside(job.root(host), path):
            continue
        with path.open("rb") as file:
            data = file.read(limit + 1)
        try:
            # A character that the limit cuts is no mistake of the program's.
            text = codecs.getincrementaldecoder("utf-8")().decode(data[:limit], final=len(data) <= limit)
        except UnicodeDecodeError as error:
            return Ending.failed(_NOT_TEXT.format(host, error.reason), save=True)
        if text and "ExitMessage" not in body:
            body["ExitMessage"] = text
            job.set("ExitMessage", text)
    return None


def _save(job: Job, output: Output) -> None:
    folders = [(root, root / output.folder) for root in job.roots()]
    # One that is a link to elsewhere is no folder of the job.
    entries, collisions = merge([folder for root, folder in folders if folder.is_dir() and is_inside(root, folder)])
    for name in collisions:
        job.tell("outputs", f"{output.name}: {name!r} is there on several hosts; the one of the first host was saved")
    for message in upload_files(job.plane.storage, _prefix(output), entries):
        job.tell("outputs", f"{output.name}: {message}")


def _save_meanwhile(job: Job, done: threading.Event) -> threading.Thread | None:
    """Save what is Continuous every few seconds beside the job."""
    outputs = [output for output in read_outputs(job.body()) if output.continuous]
    if not outputs:
        return None
    storage, roots = job.plane.storage, job.roots()
    known: dict[str, checkpoints.Known] = {}

    def save() -> None:
        for output in outputs:
            before = known.get(output.name, {})
            known[output.name] = checkpoints.save(storage, output.uri, roots, output.folder, before, mirror=False)

    return save_again_and_again(job, "outputs", SAVE_SECONDS, save, done)


def _prefix(output: Output) -> Address:
    return parse_address(f"{output.uri.rstrip('/')}/")
