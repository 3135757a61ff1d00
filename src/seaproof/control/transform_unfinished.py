"""What transform jobs that did not complete have left, so that another one can go on with it; and when it is removed.

    nothing was done of an object             when its job ends
    a job went on with it (seaproof:resume)   it is that job's from then on
    another job has made the same output      when that job completes
    nobody went on with it                    after so many days as the setting `keep_unfinished` says

A job that is resumed after that begins at the beginning.
"""

from __future__ import annotations

import time

from seaproof.batch.journal import remove_untouched
from seaproof.control.job_endings import COMPLETED, ENDED
from seaproof.control.plane import Plane
from seaproof.control.transform_record import KIND, WORK, Job

_DAY = 86_400.0


def settle(job: Job) -> None:
    """Remove what is of no use any more, now that the job has ended."""
    record = job.record()
    if record.status == COMPLETED:
        job.remove_folder()
        for other in job.plane.store.records(KIND):
            if other.status in ENDED and all(other.body.get(key) == record.body.get(key) for key in WORK):
                Job(job.plane, other.name).remove_folder()
    elif record.status in ENDED and not remove_untouched(job.folder):
        job.remove_folder()
    sweep(job.plane)


def sweep(plane: Plane) -> None:
    """Remove what has been kept for long enough, and what a coordinator did not live to remove."""
    oldest = time.time() - _DAY * plane.settings.keep_unfinished
    for record in plane.store.records(KIND):
        is_old = record.body.get("TransformEndTime", 0.0) < oldest
        if record.status == COMPLETED or (record.status in ENDED and is_old):
            Job(plane, record.name).remove_folder()
