"""The graceful end of a coordinator: when `park` returns, nothing of the project runs any more."""

from __future__ import annotations

from pathlib import Path

import job_lab as lab
from job_lab import describe, request, until

from seaproof.control.recovery import park
from seaproof.control.training_jobs import create_training_job
from seaproof.drivers.driver import Handle
from seaproof.drivers.fake import FakeDriver
from seaproof.errors import DriverError


class BusyDriver(FakeDriver):
    """An engine that refuses the first attempts to stop something."""

    def __init__(self, state: Path, refusals: int) -> None:
        super().__init__(state)
        self.refusals = refusals

    def stop(self, handle: Handle, grace: float) -> None:
        """See Driver.stop."""
        if self.refusals:
            self.refusals -= 1
            raise DriverError("the engine is busy")
        super().stop(handle, grace)


def test_a_workload_whose_stop_failed_is_gone_when_parking_is_done(tmp_path: Path) -> None:
    plane = lab.open_plane(tmp_path, driver=BusyDriver(tmp_path, 2))
    try:
        create_training_job(plane, request(image="fake:ignore_sigterm"))
        until(plane.driver.recover, "its container runs")
        park(plane)

        assert plane.driver.recover() == []
        assert describe(plane)["TrainingJobStatus"] == "Stopped"
    finally:
        lab.close_plane(plane)


def test_parking_outlasts_a_program_that_ignores_sigterm(tmp_path: Path) -> None:
    plane = lab.open_plane(tmp_path, stop_job_grace=1.0)
    try:
        create_training_job(plane, request(image="fake:ignore_sigterm"))
        until(plane.driver.recover, "its container runs")
        park(plane)

        assert plane.driver.recover() == []
        assert describe(plane)["TrainingJobStatus"] == "Stopped"
    finally:
        lab.close_plane(plane)
