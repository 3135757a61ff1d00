"""The containers of a job: started or adopted, watched, and reaped, all in one place.

Whatever happens in between, nothing that was started here outlives `run_containers`, except where the coordinator
itself shuts down: then the containers go on, and the next coordinator adopts them by their names.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from seaproof.control import reserve
from seaproof.control.container_job import ContainerJob
from seaproof.control.job_endings import DISK_FULL, OUT_OF_TIME, STOP, STOPPING, Ending, algorithm_error
from seaproof.control.job_record import explain
from seaproof.control.logs import follow
from seaproof.control.store import Body
from seaproof.drivers.driver import Exit, Handle, Workload
from seaproof.errors import DriverError, ImageNotFound, SeaproofError, StartFailed

POLL = 0.2
_LOG_END = 15.0
_NEXT_TO_NOTHING = 64 * 1024

Describe = Callable[[Body, str], Workload]
"""What the driver is asked to run, for the record's body and a host."""
Beside = Callable[[threading.Event], "threading.Thread | None"]
"""Begins what goes on beside the containers; the event is set when they write no more, and the thread then ends."""


@dataclass
class _Running:
    """What runs for one job, to be reaped."""

    handles: dict[str, Handle] = field(default_factory=dict)
    logs: dict[str, threading.Thread] = field(default_factory=dict)
    saved: threading.Event = field(default_factory=threading.Event)
    """Set when the containers write no more."""
    saver: threading.Thread | None = None


def run_containers(job: ContainerJob, describe: Describe, beside: Beside) -> Ending | None:
    """Run all hosts to their end; an Ending where they could not be run or were lost.

    How they ended is in the record: `verdict` tells. Where the coordinator shuts down this returns early.
    """
    running = _Running()
    try:
        ending = _start_all(job, running, describe)
        if ending is None:
            running.saver = beside(running.saved)
            ending = _watch(job, running.handles)
    finally:
        if not job.plane.closing.is_set():
            _reap(job, running)
    return ending


def verdict(job: ContainerJob, program: str, otherwise: str = "") -> Ending | None:
    """How the job ends by what its record says: the first host that failed is the reason; None where all is well.

    `program` and `otherwise` are those of `algorithm_error`.
    """
    record = job.record()
    exits = record.body["_exits"]
    for host, ended in exits.items():
        if ended["code"]:
            text = record.body.get("_failures", {}).get(host, "")
            full = host in record.body.get("_full", ())
            reason = algorithm_error(Exit(**ended), text, disk_full=full, program=program, otherwise=otherwise)
            return Ending.failed(reason, save=True)
    if record.status == STOPPING:
        return STOP
    return None if len(exits) == len(record.body["_hosts"]) else OUT_OF_TIME


def failed_hosts(job: ContainerJob) -> list[str]:
    """The hosts whose program did not end with 0, in the order they did."""
    return [host for host, ended in job.body()["_exits"].items() if ended["code"]]


def save_again_and_again(
    job: ContainerJob, what: str, seconds: float, save: Callable[[], None], done: threading.Event
) -> threading.Thread:
    """Call `save` every so many seconds beside the job, and once more when it is `done`."""

    def work() -> None:
        problem, last = "", False
        while not last and not job.plane.closing.is_set():
            last = done.wait(seconds)
            try:
                save()
                problem = ""
            except (SeaproofError, OSError) as error:
                if explain(error) != problem:
                    problem = explain(error)
                    job.tell(what, f"{what} could not be saved: {problem}")

    return job.plane.spawn(f"{what} {job.name}", work)


def _start_all(job: ContainerJob, running: _Running, describe: Describe) -> Ending | None:
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
    known = {handle.name for _, _, handle in job.plane.store.handles(job.kind, job.name)}
    for host in missing:
        if host in body.get("_streams", {}) or job.workload(host) in known:
            return Ending.failed(
                f"InternalServerError: the container of {host} was lost while seaproof was not running, most often"
                " because the machine was restarted. Start the job again under a new name."
            )
        try:
            handle = job.plane.driver.start(describe(body, host))
        except ImageNotFound as error:
            return Ending.failed(f"ClientError: {error}")
        except StartFailed as error:
            return Ending.failed(f"AlgorithmError: the container could not be started: {error}")
        except DriverError as error:
            return Ending.failed(f"InternalServerError: {error}")
        _take(job, running, host, handle)
    return None


def _take(job: ContainerJob, running: _Running, host: str, handle: Handle) -> None:
    """From here on the workload is reaped with the others, and its output goes to the log."""
    running.handles[host] = handle
    job.plane.store.put_handle(job.kind, job.name, handle)
    running.logs[host] = follow(job.plane, handle, _log(job, host))
    note = handle.detail.get("note")
    if note and len(running.handles) == 1 and handle.name not in job.living:
        job.tell("driver", str(note))


def _log(job: ContainerJob, host: str) -> Path:
    """The host's log file; its name is chosen once and kept, so that a later coordinator goes on in it."""
    streams = job.body().get("_streams", {})
    if host not in streams:
        streams[host] = f"{host}-{int(time.time())}"
        job.set("_streams", streams)
    return job.log(host, streams[host])


def _watch(job: ContainerJob, handles: Mapping[str, Handle]) -> Ending | None:
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


def _is_over(job: ContainerJob) -> bool:
    """Whether no host has to run any longer; all that says so is in the record, and stays true after a restart."""
    record = job.record()
    failed = any(ended["code"] for ended in record.body["_exits"].values())
    return failed or record.status == STOPPING or time.time() >= _deadline(job, record.body)


def _deadline(job: ContainerJob, body: Body) -> float:
    return float(body[f"{job.noun}StartTime"] + body["StoppingCondition"]["MaxRuntimeInSeconds"])


def _note_exit(body: Body, host: str, ended: Exit, full: bool) -> None:
    body["_exits"][host] = asdict(ended)
    if full:
        body.setdefault("_full", []).append(host)


def _reap(job: ContainerJob, running: _Running) -> None:
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
    for _, _, handle in job.plane.store.handles(job.kind, job.name):
        job.insist(partial(job.plane.store.drop_handle, handle.name))


def _stop(job: ContainerJob, handle: Handle, grace: float) -> None:
    try:
        job.plane.driver.stop(handle, grace)
    except DriverError as error:
        job.tell("stop", f"{handle.name} could not be stopped cleanly: {error}")
