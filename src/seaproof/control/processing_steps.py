"""A processing job as a list of steps: Starting, Downloading, Processing, Uploading, Completed."""

from __future__ import annotations

import time
from typing import Any

from seaproof.contract.opt_ml import write_processing
from seaproof.control import channels
from seaproof.control.job_endings import FAILED, STOP_UNSTARTED, Ending
from seaproof.control.job_record import explain
from seaproof.control.job_steps import SAVING, Course, unsaved
from seaproof.control.processing_record import Job
from seaproof.control.processing_request import read_inputs, read_outputs
from seaproof.control.processing_run import run_processing, save_outputs
from seaproof.control.store import Body
from seaproof.errors import SeaproofError

# What the record has and is no part of processingjobconfig.json.
_OURS = ("ProcessingJobStatus", "ProcessingStartTime", "Tags")


def _starting(job: Job) -> Ending | None:
    return STOP_UNSTARTED if job.is_stopping() else None


def _downloading(job: Job) -> Ending | None:
    """Make every host's /opt/ml and fill it. Always from scratch: half a download is worth nothing."""
    job.remove_folders()
    body, roots = job.body(), job.roots()
    try:
        request = {key: value for key, value in body.items() if not key.startswith("_") and key not in _OURS}
        for host, root in zip(body["_hosts"], roots, strict=True):
            write_processing(root, request, host, body["_hosts"])
            for output in read_outputs(body):
                (root / output.folder).mkdir(parents=True, exist_ok=True)
        region = job.plane.settings.region
        whole = channels.deliver(job.plane.storage, read_inputs(body), roots, region, job.is_stopping)
    except (SeaproofError, OSError) as error:
        job.remove_folders()
        return Ending.failed(f"ClientError: Data download failed:{explain(error)}")
    return None if whole else STOP_UNSTARTED


def _uploading(job: Job) -> Ending | None:
    try:
        save_outputs(job)
    except (SeaproofError, OSError) as error:
        return unsaved(job, "Output", explain(error).rstrip("."))
    return None


def _begin(body: Body, step: str) -> None:
    if step == "Downloading":
        body.setdefault("ProcessingStartTime", time.time())


def _finish(body: Body, ending: Ending) -> None:
    more: dict[str, Any] = {"FailureReason": ending.reason} if ending.status == FAILED else {}
    body.update(ProcessingJobStatus=ending.status, ProcessingEndTime=time.time(), **more)


COURSE: Course[Job] = Course(
    steps=(
        ("Starting", _starting),
        ("Downloading", _downloading),
        (Job.noun, run_processing),
        (SAVING, _uploading),
    ),
    begin=_begin,
    finish=_finish,
)
