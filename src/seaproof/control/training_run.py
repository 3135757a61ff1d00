"""What a training job does with its containers: what it runs in them, its checkpoints, its metrics."""

from __future__ import annotations

import threading
from functools import partial

from seaproof.contract.environ import TRAINING_JOB_ARN, TRAINING_JOB_NAME
from seaproof.control import checkpoints
from seaproof.control.artifacts import read_failure
from seaproof.control.job_containers import failed_hosts, run_containers, save_again_and_again, verdict
from seaproof.control.job_endings import Ending
from seaproof.control.metrics import final_metrics
from seaproof.control.store import Body
from seaproof.control.training_record import Job
from seaproof.drivers.driver import Workload

CHECKPOINT_SECONDS = 3.0


def run_training(job: Job) -> Ending | None:
    """Run all hosts to their end; None where every one ended with 0, or the coordinator shuts down."""
    ending = run_containers(job, partial(_workload, job), partial(_save_checkpoints, job))
    if job.plane.closing.is_set():
        return None
    _keep_failures(job)
    _measure(job)
    return ending or verdict(job, "`train`")


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


def _keep_failures(job: Job) -> None:
    """The failure files count where the exit code is not 0; their whole text stays in the record."""
    texts = {host: text for host in failed_hosts(job) if (text := read_failure(job.root(host)))}
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
    known: checkpoints.Known | None = None

    def save() -> None:
        nonlocal known
        known = checkpoints.stored(storage, uri) if known is None else known
        known = checkpoints.save(storage, uri, roots, folder, known)

    return save_again_and_again(job, "checkpoints", CHECKPOINT_SECONDS, save, done)
