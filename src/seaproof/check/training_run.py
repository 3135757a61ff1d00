"""Training jobs as the checks run them: one real run with the data given, others with something changed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seaproof.check.check import Evidence, Unchecked
from seaproof.check.pipes import Feed
from seaproof.check.run import Run
from seaproof.check.subject import Subject
from seaproof.contract import environ, opt_ml
from seaproof.drivers.driver import Exit
from seaproof.errors import StartFailed

JOB = "seaproof-check"


@dataclass(frozen=True)
class Training:
    """How one run ended."""

    root: Path
    """Its /opt/ml as it left it."""
    log: str
    exit: Exit | None
    """None: it had not ended when the time was over, and was stopped."""
    seconds: float
    run: Run | None = None
    problem: StartFailed | None = None

    @property
    def completed(self) -> bool:
        """Whether the platform would say Completed."""
        return self.exit is not None and self.exit.code == 0

    def model_files(self) -> list[str]:
        """What it left in /opt/ml/model, relative."""
        model = self.root / "model"
        return sorted(str(path.relative_to(model)) for path in model.rglob("*") if not path.is_dir())

    def failure(self) -> str:
        """The first 1,024 characters of /opt/ml/output/failure."""
        try:
            return (self.root / "output" / "failure").read_text("utf-8", "replace")[:1024]
        except OSError:
            return ""


def train_once(subject: Subject) -> Training:
    """The run with the data and hyperparameters as they were given; kept."""

    def find() -> Training:
        subject.lab.say("training with the data given")
        found = run_training(subject, subject.options.hyperparameters)
        if found.completed and found.model_files() and subject.options.model is None:
            subject.lab.learn("trained model", str(found.root / "model"))
        return found

    return subject.lab.once("training", find)


def prepare(
    subject: Subject,
    hyperparameters: Mapping[str, str],
    *,
    hosts: int = 1,
    host: str = "algo-1",
    checkpoints: Path | None = None,
) -> Path:
    """An /opt/ml as the platform leaves it just before `train` starts."""
    channels = subject.options.channels
    if not channels:
        raise Unchecked("no training data was given", next_step="Give --channel NAME=FOLDER.", blocks=True)
    root = subject.lab.new_opt_ml()
    cluster = opt_ml.Cluster(host, opt_ml.host_names(hosts), subject.options.instance_type)
    pipe = subject.options.input_mode == "Pipe"  # FastFile is told as File
    dealt = [name for name in channels if subject.options.shards(name)]
    told = {
        name: opt_ml.Channel("Pipe" if pipe else "File", "ShardedByS3Key" if name in dealt else "FullyReplicated")
        for name in channels
    }
    opt_ml.write_training(root, opt_ml.TrainingInput(hyperparameters, told, cluster))
    if pipe:
        for name in channels:
            (root / "input" / "data" / name).rmdir()
        return root
    for name, source in channels.items():
        path = Path(source)
        if path.is_dir():
            shutil.copytree(path, root / "input" / "data" / name, dirs_exist_ok=True)
        elif path.exists():
            shutil.copy(path, root / "input" / "data" / name / path.name)
        else:
            raise Unchecked(f"there is no {path} for channel {name}", next_step="Give --channel NAME=FOLDER.")
    if checkpoints is not None:
        shutil.copytree(checkpoints, root / "checkpoints", dirs_exist_ok=True)
    return root


def tail(training: Training, lines: int = 10) -> Evidence:
    """The last lines of its log."""
    return Evidence("last lines of its log", "\n".join(training.log.splitlines()[-lines:]) or "(it printed nothing)")


def completed(subject: Subject) -> Training:
    """The run with the data given, where it completed; Unchecked where it did not."""
    found = train_once(subject)
    if not found.completed:
        raise Unchecked("the training with the data given did not complete; see SP117", blocks=False)
    return found


def start_training(subject: Subject, root: Path, **changes: Any) -> Run:
    """Start `train` in a prepared /opt/ml; in Pipe mode its channels are fed until it is stopped."""
    if subject.options.input_mode == "FastFile":
        changes.setdefault("read_only", ("input/data",))
    variables = {
        environ.TRAINING_JOB_NAME: JOB,
        environ.TRAINING_JOB_ARN: f"arn:aws:sagemaker:us-east-1:000000000000:training-job/{JOB}",
        **changes.pop("environment", {}),
    }
    fields = {"hostname": "algo-1", "network": f"check-{root.name}", **changes}
    feed = Feed(root, subject.options.channels) if subject.options.input_mode == "Pipe" else None
    try:
        run = subject.lab.start(subject.lab.workload("train", root, environment=variables, **fields))
    except (StartFailed, Unchecked):
        if feed is not None:
            feed.close()
        raise
    if feed is not None:
        feed.watch(run)
        run.feed = feed
    return run


def run_training(subject: Subject, hyperparameters: Mapping[str, str], **changes: Any) -> Training:
    """Run `train` to its end, or until the patience is over."""
    root = changes.pop("root", None) or prepare(subject, hyperparameters)
    begun = time.monotonic()
    try:
        run = start_training(subject, root, **changes)
    except StartFailed as error:
        return Training(root, str(error), Exit(127), 0.0, problem=error)
    return finish(run, subject.options.patience, begun)


def finish(run: Run, patience: float, begun: float) -> Training:
    """Wait for its end, and take it down."""
    exit = run.exit(patience)
    if exit is None:
        run.stop(1)
    seconds, log = time.monotonic() - begun, run.log()
    run.stop(0)
    return Training(run.opt_ml, log, exit, seconds, run)
