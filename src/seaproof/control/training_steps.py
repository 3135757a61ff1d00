"""A training job as a list of steps: Starting, Downloading, Training, Uploading, Completed."""

from __future__ import annotations

from seaproof.contract.opt_ml import Cluster, TrainingInput, host_names, write_training
from seaproof.control import artifacts, channels, checkpoints
from seaproof.control.container_job import ending_of
from seaproof.control.job_endings import STOP_UNSTARTED, STOPPING, Ending
from seaproof.control.job_record import explain
from seaproof.control.job_steps import LAST, SAVING, Course, unsaved
from seaproof.control.store import Body
from seaproof.control.training_record import Job
from seaproof.control.training_run import run_training
from seaproof.control.training_status import enter, finish
from seaproof.errors import SeaproofError

NO_MODEL = "no-model"
"""Type of the event of a job that ended well and left no model."""
_NO_MODEL_TEXT = (
    "The program left nothing in /opt/ml/model, so there is no model.tar.gz at S3ModelArtifacts: an endpoint made of"
    " this job's model would fail. Check that train.py has a function train(job) that writes to job.model_dir, or that"
    " the image's program writes to /opt/ml/model."
)


def _begin(body: Body, step: str) -> None:
    # A job that is being stopped no longer shows the steps that it passes over.
    if step == SAVING or (step != LAST and body["TrainingJobStatus"] != STOPPING):
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
        return unsaved(job, "Artifact", explain(error).rstrip("."))
    return None


COURSE: Course[Job] = Course(
    steps=(
        ("Starting", _starting),
        ("Downloading", _downloading),
        (Job.noun, run_training),
        (SAVING, _uploading),
    ),
    begin=_begin,
    finish=finish,
)
