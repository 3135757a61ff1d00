"""Training jobs: hyperparameters in both dialects, the model that is left, failures, metrics, stops, spot."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from seaproof.check.check import RUN, Evidence, Finding, NotApplicable, Unchecked, check, fail, warn
from seaproof.check.input_modes import wrote_its_data
from seaproof.check.programs import programs
from seaproof.check.startup import first_training
from seaproof.check.subject import Subject
from seaproof.check.training_run import completed, prepare, run_training, start_training, tail

_SETTLE = 1.0
_CHANNEL = re.compile(r"/opt/ml/input/data/([A-Za-z0-9][A-Za-z0-9._-]*)")


@check(
    "SP117",
    "A training job with the data given completes",
    symptom="the job ends as Failed",
    platform="takes exit code 0 for Completed and any other for Failed",
    fix="The last lines of its log, or /opt/ml/output/failure, say why it ended.",
    stage=RUN,
    roles=("training",),
    mark="D",
)
def training_completes(subject: Subject) -> Iterator[Finding]:
    found = first_training(subject)
    if subject.options.input_mode == "Pipe" and not found.completed and found.run is not None:
        raise Unchecked("it does not complete with its data in pipes; see SP041", blocks=False)
    if subject.options.input_mode == "FastFile" and not found.completed and wrote_its_data(found):
        raise Unchecked("it wants to write to its data; see SP119", blocks=False)
    if found.exit is None:
        raise Unchecked(
            f"it had not ended after {subject.options.patience:g} s", next_step="--patience SECONDS waits longer."
        )
    if not found.completed:
        told = [Evidence("it ended", f"exit code {found.exit.code}"), tail(found)]
        if found.failure():
            told.append(Evidence("/opt/ml/output/failure", found.failure()))
        missed = _channels_missed(subject, found.log)
        reads = "".join(f", and it reads /opt/ml/input/data/{name}, which is no channel given" for name in missed[:1])
        fix = "\n".join(f"--channel {name}=FOLDER" for name in missed)
        yield fail(f"`train` ended with exit code {found.exit.code}{reads}", *told, fix=fix)


def _channels_missed(subject: Subject, log: str) -> list[str]:
    """Channels that the log or the program's own text names, and that were not given."""
    texts = [log]
    for found in programs(subject):
        if found.verb == "train" and found.chosen:
            texts.append(subject.files().read(found.chosen[0]).decode("utf-8", "replace"))
    named = _CHANNEL.findall("\n".join(texts))
    return [name for name in dict.fromkeys(named) if re.sub(r"_\d+$", "", name) not in subject.options.channels]


@check(
    "SP028",
    "A training job leaves a model",
    row=28,
    symptom='"Could not find model data at s3://.../model.tar.gz"',
    platform="packs /opt/ml/model at the end; where nothing is in it there is no archive",
    fix='joblib.dump(model, "/opt/ml/model/model.joblib")',
    stage=RUN,
    roles=("training",),
    mark="U",
    sources="sdk#608, #3455; tt#82",
)
def training_leaves_a_model(subject: Subject) -> Iterator[Finding]:
    found = completed(subject)
    if not found.model_files():
        others = [
            str(path.relative_to(found.root))
            for path in found.root.rglob("*")
            if path.is_file() and path.relative_to(found.root).parts[0] != "input"
        ]
        yield fail(
            "nothing is in /opt/ml/model", Evidence("below /opt/ml", "\n".join(others) or "(nothing)"), tail(found)
        )


@check(
    "SP128",
    "What a training job leaves can be hosted",
    symptom='"Failed to extract model data archive" at the endpoint made of the job\'s model',
    platform="packs links into model.tar.gz, and refuses them when it unpacks it for hosting",
    fix="shutil.copy(source, target)        # not os.symlink",
    stage=RUN,
    roles=("training",),
    mark="D",
)
def model_can_be_hosted(subject: Subject) -> Iterator[Finding]:
    model = completed(subject).root / "model"
    links = [str(path.relative_to(model)) for path in model.rglob("*") if path.is_symlink() or path.is_fifo()]
    if links:
        yield fail(f"{links[0]} in /opt/ml/model is a link or a pipe", Evidence("not files", "\n".join(links[:8])))


@check(
    "SP019",
    "A training job that fails says why in /opt/ml/output/failure",
    row=19,
    symptom="`AlgorithmError: ExecuteUserScriptError` only, or an exit code only",
    platform="takes FailureReason from the first 1,024 characters of /opt/ml/output/failure",
    fix='except Exception:\n    Path("/opt/ml/output/failure").write_text(traceback.format_exc()[-1024:])\n    raise',
    stage=RUN,
    roles=("training",),
    mark="D",
    sources="sdk#658, #1225",
)
def failure_is_told(subject: Subject) -> Iterator[Finding]:
    found = first_training(subject)
    if found.exit is None:
        raise Unchecked("the training with the data given had not ended; see SP117", blocks=False)
    if found.completed:
        subject.lab.say("training without data, to see it fail")
        root = prepare(subject, subject.options.hyperparameters)
        shutil.rmtree(root / "input" / "data")
        (root / "input" / "data").mkdir()
        found = run_training(subject, {}, root=root)
    if found.exit is None or found.completed:
        raise Unchecked("it completes without its data, so that no failure could be seen", blocks=False)
    if not found.failure().strip():
        yield warn(
            f"it ended with exit code {found.exit.code} and wrote no /opt/ml/output/failure",
            Evidence("FailureReason would be", f"AlgorithmError: , exit code: {found.exit.code}"),
            tail(found),
        )


@check(
    "SP029",
    "Hyperparameters are read in both dialects",
    row=29,
    symptom="`invalid literal for int() with base 10: '\"128\"'`",
    platform='passes hyperparameters on as they come: boto3 sends `128`, the SDK with a source_dir sends `"128"`',
    fix="value = json.loads(text) if text[:1] in '\"{[' else text",
    stage=RUN,
    roles=("training",),
    mark="C",
    sources="sdk#3487; tt#65, #66",
)
def both_dialects_are_read(subject: Subject) -> Iterator[Finding]:
    given = subject.options.hyperparameters
    if not given:
        raise NotApplicable("no hyperparameters were given")
    completed(subject)
    import json

    quoted = {name: json.dumps(value) for name, value in given.items()}
    subject.lab.say("training with JSON-encoded hyperparameters")
    found = run_training(subject, quoted)
    if not found.completed:
        told = Evidence("hyperparameters.json", json.dumps(quoted))
        yield fail("it fails when values are JSON-encoded, as the SDK sends them", told, tail(found, 5))


@check(
    "SP031",
    "Every metric is found in the log",
    row=31,
    symptom="tuning: no objective metric",
    platform="matches each MetricDefinition's expression against the log's lines, and takes what is a number",
    fix='print(f"validation:auc={auc:.6f}", flush=True)        # Regex: "validation:auc=([0-9.e+-]+)"',
    stage=RUN,
    roles=("training",),
    mark="D",
    sources="ex#463, #1920",
)
def metrics_are_found(subject: Subject) -> Iterator[Finding]:
    if not subject.options.metrics:
        raise NotApplicable("no metrics are declared")
    log = completed(subject).log
    for name, pattern in subject.options.metrics.items():
        try:
            matches = re.findall(pattern, log)
        except re.error as error:
            yield fail(f"the expression of {name} is none: {error}", Evidence("Regex", pattern))
            continue
        values = [match if isinstance(match, str) else match[0] for match in matches]
        if not values:
            yield fail(f"{name} matches no line of the log", Evidence("Regex", pattern), Evidence("log", log[-600:]))
        elif not any(_is_number(value) for value in values):
            yield fail(f"what {name} matches is no number: {values[0]!r}", Evidence("Regex", pattern))
    if "\r" in log:
        yield warn(
            "a progress bar writes over its line with \\r: all of it is one line in the log", Evidence("fix", "")
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@check(
    "SP118",
    "A training job ends in time when it is stopped, and leaves what it has",
    symptom="a stop takes 120 s; no checkpoint, no model after it",
    platform="sends SIGTERM for a stop, MaxRuntime and spot interruptions, SIGKILL 120 s later, then saves the model",
    fix="signal.signal(signal.SIGTERM, save_and_exit)        # and `exec` in shell scripts",
    stage=RUN,
    roles=("training",),
    mark="D",
)
def stop_is_heeded(subject: Subject) -> Iterator[Finding]:
    whole = completed(subject).seconds
    root = prepare(subject, subject.options.hyperparameters)
    run = start_training(subject, root)
    if run.exit(min(_SETTLE, whole / 4)) is not None:
        raise Unchecked(f"it is done after {whole:.1f} s, too soon to be stopped", blocks=False)
    took = run.stop(subject.options.stop_job_seconds)
    if took >= subject.options.stop_job_seconds:
        yield fail(
            f"it did not end within {subject.options.stop_job_seconds:g} s of SIGTERM, and was killed",
            Evidence("log", run.log_tail(4)),
        )


@check(
    "SP104",
    "A spot interruption costs no more than the work since the last checkpoint",
    symptom="the job fails, or begins anew, when it is started again with its checkpoints",
    platform="stops the job, and starts it again with /opt/ml/checkpoints as it was; nothing else is kept",
    fix='newest = max(Path("/opt/ml/checkpoints").glob("*.pt"), default=None)',
    stage=RUN,
    roles=("training",),
    mark="D",
)
def checkpoints_are_read(subject: Subject) -> Iterator[Finding]:
    found = completed(subject)
    if not any(path.is_file() for path in (found.root / "checkpoints").rglob("*")):
        raise NotApplicable("it writes no checkpoints")
    root = prepare(subject, subject.options.hyperparameters)
    run = start_training(subject, root)
    deadline = time.monotonic() + subject.options.patience
    while not any((root / "checkpoints").rglob("*")) and run.exit() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    subject.lab.say("interrupting it after its first checkpoint, and starting it again")
    run.stop(subject.options.stop_job_seconds)
    again = prepare(subject, subject.options.hyperparameters, checkpoints=root / "checkpoints")
    given = [path for path in (again / "checkpoints").rglob("*") if path.is_file()]
    for path in given:
        os.utime(path, (0, path.stat().st_mtime))  # so that the first read leaves a trace, with relatime too
    resumed = run_training(subject, {}, root=again)
    kept = sorted(path.name for path in (root / "checkpoints").rglob("*"))
    if not resumed.completed:
        yield fail(
            "started again with its checkpoints it fails",
            Evidence("/opt/ml/checkpoints", "\n".join(kept[:8])),
            tail(resumed),
        )
    elif not resumed.model_files() and found.model_files():
        yield fail("started again with its checkpoints it leaves no model", tail(resumed))
    elif given and _reads_are_seen(subject) and not any(_was_read(path) for path in given):
        told = Evidence("/opt/ml/checkpoints", "\n".join(kept[:8]))
        yield warn("started again with its checkpoints it reads none of them, and begins anew", told)


def _was_read(path: Path) -> bool:
    """Whether a file whose last read was set to 1970 was read since; one that was replaced counts as read."""
    try:
        return path.stat().st_atime > 0
    except OSError:
        return True


def _reads_are_seen(subject: Subject) -> bool:
    """Whether the file system of the scratch folder keeps the time of a read (not with noatime)."""
    probe = subject.lab.folder() / "read"
    probe.write_bytes(b"x")
    os.utime(probe, (0, probe.stat().st_mtime))
    probe.read_bytes()
    return _was_read(probe)
