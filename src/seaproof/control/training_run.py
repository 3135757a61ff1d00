"""The containers of a training job: started or adopted, watched, and reaped, all in one place.

Whatever happens in between, nothing that was started here outlives `run_containers`, except where the coordinator
itself shuts down: then the containers go on, and the next coordinator adopts them by their names.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from seaproof.contract.environ import TRAINING_JOB_ARN, TRAINING_JOB_NAME
from seaproof.control import checkpoints, reserve
from seaproof.control.artifacts import read_failure
from seaproof.control.job_record import explain
from seaproof.control.logs import follow
from seaproof.control.metrics import final_metrics
from seaproof.control.store import Body
from seaproof.control.training_record import Job
from seaproof.control.training_status import DISK_FULL, KIND, OUT_OF_TIME, STOP, STOPPING, Ending, algorithm_error
from seaproof.drivers.driver import Exit, Handle, Workload
from seaproof.errors import DriverError, ImageNotFound, SeaproofError, StartFailed

POLL = 0.2
CHECKPOINT_SECONDS = 3.0
_LOG_END = 15.0
_NEXT_TO_NOTHING = 64 * 1024


@dataclass
class _Running:
    """What runs for one job, to be reaped."""

    handles: dict[str, Handle] = field(default_factory=dict)
    logs: dict[str, threading.Thread] = field(default_factory=dict)
    saved: threading.Event = field(default_factory=threading.Event)
    """Set when no checkpoint will change any more."""
    saver: threading.Thread | None = None


def run_containers(job: Job) -> Ending | None:
    """Run all hosts to their end; None where every one ended with 0, or the coordinator shuts down."""
    running = _Running()
    try:
        ending = _start_all(job, running)
        if ending is None:
            running.saver = _save_checkpoints(job, running.saved)
            ending = _watch(job, running.handles)
    finally:
        if not job.plane.closing.is_set():
            _reap(job, running)
    if job.plane.closing.is_set():
        return None
    _keep_failures(job)
    _measure(job)
    return ending or _verdict(job)


def _start_all(job: Job, running: _Running) -> Ending | None:
    """Adopt every host that lives and start every one that never was; an Ending where that fails."""
    body = job.body()
    missing = []
    for host in body["_hosts"]:
        handle = job.living.get(job.workload(host))
        if handle is not None:
            _take(job, running, host, handle)
        elif host not in body["_exits"]:
            missing.append(host)
    if _is_over(job):
        return None
    known = {handle.name for _, _, handle in job.plane.store.handles(KIND, job.name)}
    for host in missing:
        if host in body.get("_streams", {}) or job.workload(host) in known:
            return Ending.failed(
                f"InternalServerError: the container of {host} was lost while seaproof was not running, most often"
                " because the machine was restarted. Start the job again under a new name."
            )
        try:
            handle = job.plane.driver.start(_workload(job, body, host))
        except ImageNotFound as error:
            return Ending.failed(f"ClientError: {error}")
        except StartFailed as error:
            return Ending.failed(f"AlgorithmError: the container could not be started: {error}")
        except DriverError as error:
            return Ending.failed(f"InternalServerError: {error}")
        _take(job, running, host, handle)
    return None


def _take(job: Job, running: _Running, host: str, handle: Handle) -> None:
    """From here on the workload is reaped with the others, and its output goes to the log."""
    running.handles[host] = handle
    job.plane.store.put_handle(KIND, job.name, handle)
    running.logs[host] = follow(job.plane, handle, _log(job, host))
    note = handle.detail.get("note")
    if note and len(running.handles) == 1 and handle.name not in job.living:
        job.tell("driver", str(note))


def _workload(job: Job, body: Body, host: str) -> Workload:
    algorithm = body["AlgorithmSpecification"]
    entrypoint = algorithm.get("ContainerEntrypoint")
    arguments = algorithm.get("ContainerArguments") or (() if entrypoint else ("train",))
    settings = job.plane.settings
    return Workload(
        name=job.workload(host),
        image=algorithm["TrainingImage"],
        opt_ml=job.root(host),
        entrypoint=tuple(entrypoint) if entrypoint else None,
        arguments=tuple(arguments),
        environment={
            "AWS_REGION": settings.region,
            **body.get("Environment", {}),
            TRAINING_JOB_NAME: job.name,
            TRAINING_JOB_ARN: body["TrainingJobArn"],
        },
        hostname=host,
        network=job.name if len(body["_hosts"]) > 1 else None,
        isolated=bool(body.get("EnableNetworkIsolation")),
        memory=settings.memory * 1024 * 1024 or None,
    )


def _log(job: Job, host: str) -> Path:
    """The host's log file; its name is chosen once and kept, so that a later coordinator goes on in it."""
    streams = job.body().get("_streams", {})
    if host not in streams:
        streams[host] = f"{host}-{int(time.time())}"
        job.set("_streams", streams)
    return job.log(host, streams[host])


def _watch(job: Job, handles: Mapping[str, Handle]) -> Ending | None:
    """Wait until all hosts have ended, one has failed, or something says stop."""
    exits = job.body()["_exits"]
    left = {host: handle for host, handle in handles.items() if host not in exits}
    while left and not job.plane.closing.is_set() and not _is_over(job):
        for host, handle in list(left.items()):
            try:
                ended = job.plane.driver.wait(handle, POLL / len(left))
            except DriverError as error:
                return Ending.failed(f"InternalServerError: the container of {host} was lost: {error}")
            if ended is not None:
                full = bool(ended.code) and disk_is_full(job.root(host))
                job.update(partial(_note_exit, host=host, ended=ended, full=full))
                job.tell("exit", f"{host} ended with code {ended.code}" + (f"; {DISK_FULL}" if full else ""))
                del left[host]
    return None


def disk_is_full(folder: Path) -> bool:
    """Whether next to nothing can be written where a host has its /opt/ml."""
    return reserve.free(folder) < _NEXT_TO_NOTHING


def _is_over(job: Job) -> bool:
    """Whether no host has to run any longer; all that says so is in the record, and stays true after a restart."""
    record = job.record()
    failed = any(ended["code"] for ended in record.body["_exits"].values())
    return failed or record.status == STOPPING or time.time() >= _deadline(record.body)


def _deadline(body: Body) -> float:
    return float(body["TrainingStartTime"] + body["StoppingCondition"]["MaxRuntimeInSeconds"])


def _note_exit(body: Body, host: str, ended: Exit, full: bool) -> None:
    body["_exits"][host] = asdict(ended)
    if full:
        body.setdefault("_full", []).append(host)


def _reap(job: Job, running: _Running) -> None:
    """Stop all hosts at once, keep the ends of their logs, and forget their handles."""
    ended = job.body()["_exits"]
    stoppers = []
    for host, handle in running.handles.items():
        if host in ended:
            running.logs[host].join(_LOG_END)
        grace = 0.0 if host in ended else job.plane.settings.stop_job_grace
        stoppers.append(job.plane.spawn(f"stop {handle.name}", partial(_stop, job, handle, grace)))
    for thread in (*stoppers, *running.logs.values()):
        thread.join(job.plane.settings.stop_job_grace + _LOG_END)
    running.saved.set()
    if running.saver is not None:
        running.saver.join()
    for _, _, handle in job.plane.store.handles(KIND, job.name):
        job.insist(partial(job.plane.store.drop_handle, handle.name))


def _stop(job: Job, handle: Handle, grace: float) -> None:
    try:
        job.plane.driver.stop(handle, grace)
    except DriverError as error:
        job.tell("stop", f"{handle.name} could not be stopped cleanly: {error}")


def _verdict(job: Job) -> Ending | None:
    """How the job ends by what its record says: the first host that failed is the reason; None where all is well."""
    record = job.record()
    exits = record.body["_exits"]
    for host, ended in exits.items():
        if ended["code"]:
            text = record.body.get("_failures", {}).get(host, "")
            reason = algorithm_error(Exit(**ended), text, disk_full=host in record.body.get("_full", ()))
            return Ending.failed(reason, save=True)
    if record.status == STOPPING:
        return STOP
    return None if len(exits) == len(record.body["_hosts"]) else OUT_OF_TIME


def _keep_failures(job: Job) -> None:
    """The failure files count where the exit code is not 0; their whole text stays in the record."""
    failed = [host for host, ended in job.body()["_exits"].items() if ended["code"]]
    texts = {host: text for host in failed if (text := read_failure(job.root(host)))}
    if texts:
        job.set("_failures", texts)


def _measure(job: Job) -> None:
    body = job.body()
    definitions = body["AlgorithmSpecification"].get("MetricDefinitions", [])
    logs = [job.log(host, stream) for host, stream in sorted(body.get("_streams", {}).items())]
    metrics = final_metrics(definitions, logs)
    if metrics.final:
        job.set("FinalMetricDataList", metrics.final)
    for problem in metrics.problems:
        job.tell("metrics", problem)


def _save_checkpoints(job: Job, done: threading.Event) -> threading.Thread | None:
    """Save checkpoints every few seconds beside the job, and once more when it is `done`."""
    body = job.body()
    folder = checkpoints.local_folder(body)
    if folder is None:
        return None
    storage, roots, uri = job.plane.storage, job.roots(), body["CheckpointConfig"]["S3Uri"]

    def work() -> None:
        known, problem, last = None, "", False
        while not last and not job.plane.closing.is_set():
            last = done.wait(CHECKPOINT_SECONDS)
            try:
                known = checkpoints.stored(storage, uri) if known is None else known
                known = checkpoints.save(storage, uri, roots, folder, known)
                problem = ""
            except (SeaproofError, OSError) as error:
                if explain(error) != problem:
                    problem = explain(error)
                    job.tell("checkpoints", f"checkpoints could not be saved: {problem}")

    return job.plane.spawn(f"checkpoints {job.name}", work)
