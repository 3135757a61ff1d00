"""A coordinator's first and last deed: take over what an earlier one left, and leave nothing running behind.

Between the two, whatever kills the coordinator leaves records, handles and workloads from which `recover` goes on.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor

from seaproof.control import model_data
from seaproof.control.containers import KIND as ENDPOINT
from seaproof.control.endpoint_recovery import park_endpoints, recover_endpoints, resume_endpoints
from seaproof.control.endpoints import delete_endpoint
from seaproof.control.plane import Plane
from seaproof.control.processing_jobs import recover_processing_jobs, stop_processing_job
from seaproof.control.training_jobs import recover_training_jobs, stop_training_job
from seaproof.control.transform_jobs import stop_transform_job
from seaproof.control.transform_recovery import recover_transform_jobs
from seaproof.drivers.driver import Handle
from seaproof.errors import DriverError, ServiceError

STRAY_GRACE = 5.0
"""Seconds from SIGTERM to SIGKILL for workloads that belong to nothing."""
_STOP_JOB = {
    "processing-job": (stop_processing_job, "ProcessingJobName"),
    "training-job": (stop_training_job, "TrainingJobName"),
    "transform-job": (stop_transform_job, "TransformJobName"),
}
_POLL = 0.1
_ATTEMPTS = 5
_PAUSE = 0.5

_log = logging.getLogger(__name__)


def recover(plane: Plane, *, resume: bool = True) -> None:
    """Take over what runs: adopt it, stop strays, fail what is lost. Called once, before the port opens.

    `resume` is whether endpoints that a graceful end put to rest are started again.
    """
    living = plane.driver.recover()
    on_record = [handle for _, _, handle in plane.store.handles()]
    folders = [path for kind in ("endpoint", "transform") for path in (plane.folder / "workloads").glob(f"{kind}-*")]
    kept = {handle.name for handle in recover_training_jobs(plane, living)}
    kept |= {handle.name for handle in recover_processing_jobs(plane, living)}
    kept |= {handle.name for handle in recover_endpoints(plane, living, resume=resume)}
    kept |= {handle.name for handle in recover_transform_jobs(plane, living)}
    strays = [handle for handle in living if handle.name not in kept]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda handle: _stop_stray(plane, handle), strays))
    for handle in on_record:
        if handle.name not in kept:
            plane.store.drop_handle(handle.name)
    for folder in folders:
        # Folders of jobs are theirs: an artefact may still have to be uploaded from one.
        if folder.name not in kept:
            model_data.remove(folder)


def resume(plane: Plane) -> None:
    """Start the endpoints again that a graceful end has put to rest."""
    resume_endpoints(plane)


def delete_settled(plane: Plane, name: str, created: float | None = None) -> None:
    """Delete an endpoint as soon as what is being done to it is done; one that is gone is passed over, and so is
    another of its name, which was not `created` at that time."""
    while not plane.closing.is_set():
        record = plane.store.get(ENDPOINT, name)
        if record is None or record.status == "Deleting" or (created is not None and record.created != created):
            return
        try:
            delete_endpoint(plane, {"EndpointName": name})
            return
        except ServiceError:
            time.sleep(_POLL)


def park(plane: Plane) -> None:
    """Stop all that runs, before a graceful end: endpoints start again with the next coordinator, jobs are Stopped.

    Returns when nothing of the project runs any more, as far as the driver can tell and bring about: what is left of
    a job or an endpoint whose own way of stopping it failed is killed here.
    """
    stopping: list[tuple[str, str]] = []
    try:
        stopping = _stop_jobs(plane)
        park_endpoints(plane)
        _await_jobs(plane, stopping, plane.settings.stop_job_grace + STRAY_GRACE)
    finally:
        _stop_rest(plane)
    _await_jobs(plane, stopping, STRAY_GRACE)


def _await_jobs(plane: Plane, jobs: list[tuple[str, str]], seconds: float) -> None:
    until = time.monotonic() + seconds
    while any(_in_progress(plane, kind, name) for kind, name in jobs) and time.monotonic() < until:
        time.sleep(_POLL)


def _stop_rest(plane: Plane) -> None:
    """Kill what the driver still knows; a few times, as an engine may be busy with the end of a container."""
    for _ in range(_ATTEMPTS):
        try:
            left = plane.driver.recover()
        except DriverError as error:
            _log.warning("what still runs cannot be found: %s", error)
            return
        if not left:
            return
        with ThreadPoolExecutor(8) as pool:
            problems = [problem for problem in pool.map(lambda handle: _kill(plane, handle), left) if problem]
        for problem in problems:
            _log.warning("%s", problem)
        if problems:
            time.sleep(_PAUSE)


def _kill(plane: Plane, handle: Handle) -> str:
    """Kill a workload: "", or why that failed."""
    try:
        plane.driver.stop(handle, 0.0)
    except DriverError as error:
        return f"{handle.name} cannot be stopped: {error}"
    return ""


def _stop_jobs(plane: Plane) -> list[tuple[str, str]]:
    """Kind and name of every job that was still in progress."""
    jobs = [(kind, record.name) for kind in _STOP_JOB for record in plane.store.records(kind)]
    jobs = [(kind, name) for kind, name in jobs if _in_progress(plane, kind, name)]
    for kind, name in jobs:
        stop, member = _STOP_JOB[kind]
        plane.store.add_event(kind, name, "parked", "The local server ends, and stops the job.")
        try:
            stop(plane, {member: name})
        except ServiceError:
            continue  # it ended by itself in this moment
    return jobs


def _in_progress(plane: Plane, kind: str, name: str) -> bool:
    record = plane.store.get(kind, name)
    return record is not None and record.status in ("InProgress", "Stopping")


def _stop_stray(plane: Plane, handle: Handle) -> None:
    try:
        plane.driver.stop(handle, min(STRAY_GRACE, plane.settings.stop_endpoint_grace))
        message = f"{handle.name} belonged to nothing on record any more and was stopped."
    except DriverError as error:
        message = f"{handle.name} belongs to nothing on record and cannot be stopped: {error}"
    plane.store.add_event("coordinator", "recovery", "stray", message)
