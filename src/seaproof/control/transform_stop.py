"""Whether a transform job is to stop: asked often, looked up seldom."""

from __future__ import annotations

import threading
from collections.abc import Callable

from seaproof.control.job_endings import IN_PROGRESS
from seaproof.control.transform_record import Job

_SECONDS = 0.1


class Stop:
    """True once StopTransformJob was called, or the coordinator shuts down."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._told = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        job.plane.spawn(f"watch {job.name}", self._watch)

    def __call__(self) -> bool:
        return self._told.is_set() or self._job.plane.closing.is_set()

    def then(self, callback: Callable[[], None]) -> None:
        """Call it when the job is told to stop, at once where it has been; not where the coordinator shuts down."""
        with self._lock:
            self._callbacks.append(callback)
            told = self._told.is_set()
        if told:
            callback()

    def close(self) -> None:
        """The job has ended."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(_SECONDS) and not self._job.plane.closing.is_set():
            if self._job.record().status != IN_PROGRESS:
                with self._lock:
                    self._told.set()
                    callbacks = list(self._callbacks)
                for callback in callbacks:
                    callback()
                return
