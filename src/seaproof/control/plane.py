"""The plane: what every operation works on, in one record, and the folders of the state.

.seaproof/
  seaproof.db                    the store
  s3/<bucket>/<key>              local storage
  workloads/<workload>/          one /opt/ml each
  logs/TrainingJobs/<job>/algo-1-<epoch>.log
  logs/Endpoints/<endpoint>/<variant>-<instance>.log, or <variant>-<instance>/<container>.log of a chain
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from seaproof.control.fleet import Fleets
from seaproof.control.store import Store
from seaproof.drivers.driver import Driver
from seaproof.errors import StoreError
from seaproof.invocations.send import Sender
from seaproof.settings import Settings
from seaproof.storage.storage import Storage

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plane:
    """Everything an operation needs; made once by whoever opens the project, passed as first argument."""

    folder: Path
    """The absolute folder of the state."""
    settings: Settings
    store: Store
    storage: Storage
    driver: Driver
    sender: Sender
    closing: threading.Event = field(default_factory=threading.Event)
    """Set when the coordinator shuts down; background work looks at it and returns without changing records."""
    threads: set[threading.Thread] = field(default_factory=set)
    starting: threading.Lock = field(default_factory=threading.Lock)
    """Held while a thread is added and started: `join` must not meet one that is in between."""
    fleets: Fleets = field(default_factory=Fleets)
    """What the endpoints run; `fleets.routes` is where invocations look."""

    def arn(self, kind: str, name: str) -> str:
        """The ARN of a resource; the platform lower-cases the name in it."""
        settings = self.settings
        return f"arn:aws:sagemaker:{settings.region}:{settings.account}:{kind}/{name.lower()}"

    def opt_ml(self, workload: str) -> Path:
        """The folder that a workload sees as /opt/ml."""
        return self.folder / "workloads" / workload

    def log_file(self, group: str, *stream: str) -> Path:
        """The file of one log stream, such as `log_file("TrainingJobs", job, "algo-1-1700000000")`."""
        return self.folder.joinpath("logs", group, *stream[:-1], f"{stream[-1]}.log")

    def spawn(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Run `work` beside the caller, in a thread that `join` waits for."""

        def run() -> None:
            try:
                work()
            except StoreError as error:
                _log.error("%s was broken off: %s", name, error)
            finally:
                self.threads.discard(thread)

        thread = threading.Thread(target=run, name=name, daemon=True)
        with self.starting:
            self.threads.add(thread)
            thread.start()
        return thread

    def join(self, timeout: float) -> None:
        """Tell all background work to end and wait for it, at most `timeout` seconds for each."""
        self.closing.set()
        with self.starting:
            threads = list(self.threads)
        for thread in threads:
            thread.join(timeout)
