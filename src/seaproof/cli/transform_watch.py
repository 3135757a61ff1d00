"""What `seaproof transform` shows while a job runs: a bar in a terminal, one line for each object elsewhere."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from seaproof.api.client import Client
from seaproof.cli.screen import Screen
from seaproof.cli.train import ENDED, POLL_SECONDS, stop
from seaproof.errors import ServiceError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LOG = "data-log"


class Bar:
    """Bytes, records, rate and time left of one job, on stderr in a terminal; nothing elsewhere."""

    def __init__(self, screen: Screen) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        if screen.console is not None:
            from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
            from rich.progress import Progress as Drawn

            self._progress = Drawn(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                DownloadColumn(),
                TextColumn("{task.fields[records]} records"),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                # The same: lines of the log go above the bar.
                console=screen.console,
            )

    @property
    def is_drawn(self) -> bool:
        return self._progress is not None

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, numbers: dict[str, Any]) -> None:
        """The numbers of the job as they are now."""
        if self._progress is None or not numbers:
            return
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task("", total=numbers["total_bytes"], records="0")
        self._progress.update(
            self._task,
            completed=numbers["bytes"],
            records=f"{numbers['records']:,}",
            description=f"{numbers['objects_done']:,}/{numbers['objects']:,}",
        )


def watch(client: Client, job: str, state: Path, screen: Screen, *, interrupted: bool = False) -> dict[str, Any]:
    """Show a job until it has ended; its last description. Ctrl-C stops the job, unless it was `interrupted` before."""
    offset = 0
    with Bar(screen) as bar:
        while True:
            try:
                found = client.call("DescribeTransformJob", {"TransformJobName": job})
                offset = _show_log(client, job, offset, screen)
                if found["TransformJobStatus"] in ENDED:
                    _show_log(client, job, offset, screen)
                    return found
                numbers = read_progress(state, job) if bar.is_drawn else {}
                if numbers:
                    screen.clear()
                    bar.show(numbers)
                else:
                    screen.step(f"{job}: {found['TransformJobStatus']}")
                time.sleep(POLL_SECONDS)
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                stop(client, "Transform", job, screen)


def read_progress(state: Path, job: str) -> dict[str, Any]:
    """The numbers that the coordinator writes down while it works; empty before there are any."""
    try:
        found: dict[str, Any] = json.loads((state / "transforms" / job / "progress.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def _show_log(client: Client, job: str, offset: int, screen: Screen) -> int:
    try:
        piece, offset = client.logs("TransformJobs", f"{job}/{_LOG}", offset)
    except ServiceError:
        return offset  # nothing was written yet
    for line in piece.decode("utf-8", "replace").splitlines():
        screen.line(f"  {line.partition(':[sagemaker logs]: ')[2] or line}")
    return offset
