"""A training job as a list of steps: Starting, Downloading, Training, Uploading, Completed.

The record names the step, and each step may be begun again: a coordinator that was killed in any of them is followed
by one that goes on from there. What a job has below `workloads/` is removed when it has ended, except where saving
failed: then nothing is thrown away but the copies of the input, and FailureReason says where the rest lies.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial

from seaproof.contract.opt_ml import Cluster, TrainingInput, host_names, write_training
from seaproof.control import artifacts, channels, checkpoints
from seaproof.control.job_record import explain
from seaproof.control.plane import Plane
from seaproof.control.store import Body
from seaproof.control.training_record import Job, ending_of, note_ending
from seaproof.control.training_run import run_containers
from seaproof.control.training_status import (
    COMPLETE,
    COMPLETED,
    ENDED,
    KIND,
    STOP,
    STOP_UNSTARTED,
    STOPPING,
    Ending,
    enter,
    finish,
)
from seaproof.errors import SeaproofError

_TRACE_LIMIT = 8000
NO_MODEL = "no-model"
"""Type of the event of a job that ended well and left no model."""
_NO_MODEL_TEXT = (
    "The program left nothing in /opt/ml/model, so there is no model.tar.gz at S3ModelArtifacts: an endpoint made of"
    " this job's model would fail. Check that train.py has a function train(job) that writes to job.model_dir, or that"
    " the image's program writes to /opt/ml/model."
)

Step = Callable[[Job], "Ending | None"]
"""Does its part; what it returns decides how the job will end."""


def start(job: Job) -> None:
    """Run the job from the step that its record names, in a thread of its own."""
    job.plane.spawn(f"training job {job.name}", partial(run, job))


def run(job: Job) -> None:
    """Run the job to its end, from the step that its record names; return early where the coordinator shuts down."""
    first = [name for name, _ in STEPS].index(job.body()["_step"])
    for name, step in STEPS[first:]:
        if not _is_due(name, ending_of(job.body())):
            continue
        try:
            job.update(partial(_begin, step=name))
            ending = step(job)
        except Exception as error:
            ending = None if job.plane.closing.is_set() else _broken(job, error)
        if job.plane.closing.is_set():
            return
        if ending is not None:
            note_ending(job, ending)
    _clear(job)


def clear_ended(plane: Plane) -> None:
    """Remove the folders of jobs that ended just before the coordinator did."""
    for record in plane.store.records(KIND):
        if record.status in ENDED:
            _clear(Job(plane, record.name))


def _is_due(step: str, ending: Ending | None) -> bool:
    """Whether a step is left for a job whose end may be decided already."""
    return ending is None or step == "Completed" or (step == "Uploading" and ending.save)


def _begin(body: Body, step: str) -> None:
    body["_step"] = step
    # A job that is being stopped no longer shows the steps that it passes over.
    if step == "Uploading" or (step != "Completed" and body["TrainingJobStatus"] != STOPPING):
        enter(body, step)


def _starting(job: Job) -> Ending | None:
    return STOP_UNSTARTED if job.is_stopping() else None


def _downloading(job: Job) -> Ending | None:
    """Make every host's /opt/ml and fill it. Always from scratch: half a download is worth nothing."""
    job.remove_folders()
    try:
        whole = _deliver(job)
    except (SeaproofError, OSError) as error:
        job.remove_folders()
        return Ending.failed(f"ClientError: Data download failed:{explain(error)}")
    return None if whole else STOP_UNSTARTED


def _deliver(job: Job) -> bool:
    body, roots, storage = job.body(), job.roots(), job.plane.storage
    inputs = channels.read_channels(body)
    told = {given.name: given.told for given in inputs}
    for host, root in zip(body["_hosts"], roots, strict=True):
        cluster = Cluster(host, host_names(len(roots)), body["ResourceConfig"].get("InstanceType", ""))
        write_training(root, TrainingInput(body.get("HyperParameters", {}), told, cluster))
    folder = checkpoints.local_folder(body)
    if folder:
        folders = [root / folder for root in roots]
        for target in folders:
            target.mkdir(parents=True, exist_ok=True)
        count = checkpoints.restore(storage, body["CheckpointConfig"]["S3Uri"], folders)
        job.tell("checkpoints", f"{count} checkpoint objects were restored")
    return channels.deliver(storage, inputs, roots, job.plane.settings.region, job.is_stopping)


def _uploading(job: Job) -> Ending | None:
    """Save what the containers left, also of a job that failed or was stopped."""
    body, roots, storage = job.body(), job.roots(), job.plane.storage
    try:
        folder = checkpoints.local_folder(body)
        if folder:
            uri = body["CheckpointConfig"]["S3Uri"]
            checkpoints.save(storage, uri, roots, folder, checkpoints.stored(storage, uri))
        for message in artifacts.save(storage, body, roots):
            job.tell("artifacts", message)
        if ending_of(body) is None and artifacts.leaves_no_model(roots):
            job.tell(NO_MODEL, _NO_MODEL_TEXT)
    except (SeaproofError, OSError) as error:
        return _unsaved(job, explain(error).rstrip("."))
    return None


def _unsaved(job: Job, problem: str) -> Ending:
    """Saving failed: keep what the containers left, and say where it is."""
    job.drop_inputs()
    kept = [str(root) for root in job.roots()]
    job.set("_kept", kept)
    problem = f"Artifact upload failed:{problem}. Nothing is lost: what was to be saved is kept in {', '.join(kept)}"
    job.tell("artifacts", problem)
    before = ending_of(job.body())
    # Where the job had failed before, that stays the reason; the rest is in its history.
    return Ending.failed((before and before.reason) or f"ClientError: {problem}")


def _completed(job: Job) -> None:
    """Give the record its end, in one transaction: a StopTrainingJob comes before it or too late."""

    def write() -> None:
        with job.plane.store.transaction():
            record = job.record()
            if record.status in ENDED:
                return
            ending = ending_of(record.body) or COMPLETE
            if record.status == STOPPING and ending.status == COMPLETED:
                ending = STOP
            job.plane.store.update(KIND, job.name, partial(finish, ending=ending), status=ending.status)

    job.insist(write)


STEPS: tuple[tuple[str, Step], ...] = (
    ("Starting", _starting),
    ("Downloading", _downloading),
    ("Training", run_containers),
    ("Uploading", _uploading),
    ("Completed", _completed),
)


def _clear(job: Job) -> None:
    record = job.record()
    if record.status in ENDED and "_kept" not in record.body:
        job.remove_folders()


def _broken(job: Job, error: Exception) -> Ending:
    """Something failed that no step expected: the job fails with it, the tool lives on."""
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    job.tell("internal-error", trace[-_TRACE_LIMIT:])
    return Ending.failed(f"InternalServerError: We encountered an internal error. Please try again. ({explain(error)})")
