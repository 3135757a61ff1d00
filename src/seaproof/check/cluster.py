"""Two hosts of one training job at once, as the platform starts them."""

from __future__ import annotations

import shutil
import time

from seaproof.check.subject import Subject
from seaproof.check.training_run import Training, finish, prepare, start_training

HOSTS = 2
_LATE = 1.5


def run_hosts(subject: Subject, *, empty: str = "", late: bool = False) -> dict[str, Training]:
    """Run `train` on two hosts; `empty` names the one whose channels have no files, `late` starts the second later."""
    subject.lab.say("training on two hosts")
    runs = {}
    name = f"check-job-{time.monotonic_ns()}"
    begun = time.monotonic()
    for number in range(1, HOSTS + 1):
        host = f"algo-{number}"
        root = prepare(subject, subject.options.hyperparameters, hosts=HOSTS, host=host)
        if host == empty:
            for folder in (root / "input" / "data").iterdir():
                shutil.rmtree(folder)
                folder.mkdir()
        if late and number > 1:
            time.sleep(_LATE)
        runs[host] = start_training(subject, root, hostname=host, network=name)
    deadline = begun + subject.options.patience
    return {host: finish(run, max(0.1, deadline - time.monotonic()), begun) for host, run in runs.items()}
