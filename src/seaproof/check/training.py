"""Training jobs: hyperparameters in both dialects, the model that is left, failures, metrics, hosts, pipes, spot."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator

from seaproof.check.check import RUN, Evidence, Finding, NotApplicable, Unchecked, check, fail, warn
from seaproof.check.cluster import HOSTS, run_hosts
from seaproof.check.pipes import Feed
from seaproof.check.startup import first_training
from seaproof.check.subject import Subject
from seaproof.check.training_run import Training, finish, prepare, run_training, start_training

_HARD_CODED = re.compile(r"""["'](algo-\d+|ethwe|eth[01])["']""")
_SOURCES = (".py", ".sh", ".R", ".jl", ".js", ".java", "")
_SETTLE = 1.0


def _tail(training: Training, lines: int = 10) -> Evidence:
    return Evidence("last lines of its log", "\n".join(training.log.splitlines()[-lines:]) or "(it printed nothing)")


def _completed(subject: Subject) -> Training:
    """The run with the data given, where it completed."""
    found = first_training(subject)
    if not found.completed:
        raise Unchecked("the training with the data given did not complete; see SP117", blocks=False)
    return found


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
    if found.exit is None:
        raise Unchecked(
            f"it had not ended after {subject.options.patience:g} s", next_step="--patience SECONDS waits longer."
        )
    if not found.completed:
        told = [Evidence("it ended", f"exit code {found.exit.code}"), _tail(found)]
        if found.failure():
            told.append(Evidence("/opt/ml/output/failure", found.failure()))
        yield fail(f"`train` ended with exit code {found.exit.code}", *told)


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
    found = _completed(subject)
    if not found.model_files():
        others = [
            str(path.relative_to(found.root))
            for path in found.root.rglob("*")
            if path.is_file() and path.relative_to(found.root).parts[0] != "input"
        ]
        yield fail(
            "nothing is in /opt/ml/model", Evidence("below /opt/ml", "\n".join(others) or "(nothing)"), _tail(found)
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
    model = _completed(subject).root / "model"
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
            _tail(found),
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
    _completed(subject)
    import json

    quoted = {name: json.dumps(value) for name, value in given.items()}
    subject.lab.say("training with JSON-encoded hyperparameters")
    found = run_training(subject, quoted)
    if not found.completed:
        told = Evidence("hyperparameters.json", json.dumps(quoted))
        yield fail("it fails when values are JSON-encoded, as the SDK sends them", told, _tail(found, 5))


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
    log = _completed(subject).log
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
    whole = _completed(subject).seconds
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
    found = _completed(subject)
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
    resumed = run_training(subject, {}, root=again)
    kept = sorted(path.name for path in (root / "checkpoints").rglob("*"))
    if not resumed.completed:
        yield fail(
            "started again with its checkpoints it fails",
            Evidence("/opt/ml/checkpoints", "\n".join(kept[:8])),
            _tail(resumed),
        )
    elif not resumed.model_files() and found.model_files():
        yield fail("started again with its checkpoints it leaves no model", _tail(resumed))


@check(
    "SP041",
    "Pipe mode: each FIFO is opened by its name, and read to its end",
    row=41,
    symptom="the data folder is empty, or opening the data hangs",
    platform="serves a channel in Pipe mode as FIFOs `<channel>_<epoch>`, one reader each; there is no folder",
    fix='with open(f"/opt/ml/input/data/{channel}_{epoch}", "rb") as fifo: ...',
    stage=RUN,
    roles=("training",),
    mark="D",
    sources="tensorflow-extensions#47",
)
def pipes_are_read(subject: Subject) -> Iterator[Finding]:
    if subject.options.input_mode != "Pipe":
        raise NotApplicable("Pipe mode is not asked for (--input-mode Pipe)")
    root = prepare(subject, subject.options.hyperparameters, pipe=True)
    feed = Feed(root, subject.options.channels)
    begun = time.monotonic()
    run = start_training(subject, root)
    try:
        found = finish(run, subject.options.patience, begun)
    finally:
        feed.close()
    told = Evidence("FIFOs", "\n".join(feed.told()))
    if found.exit is None:
        yield fail("it hangs with its data in pipes", told, _tail(found))
    elif not found.completed:
        yield fail(f"it ends with exit code {found.exit.code} with its data in pipes", told, _tail(found))
    elif unread := feed.unread():
        yield fail(f"{unread[0]} was never opened", told)


@check(
    "SP042",
    "A host whose share of a channel is empty goes on",
    row=42,
    symptom="some hosts idle, or fail on an empty channel",
    platform="deals objects out to hosts with ShardedByS3Key; where there are fewer objects than hosts some get none",
    fix="if not files: ...        # take part in the exchange with nothing, or use FullyReplicated",
    stage=RUN,
    roles=("training",),
    mark="D",
    sources="sdk#420",
)
def an_empty_share_is_enough(subject: Subject) -> Iterator[Finding]:
    _several(subject)
    ended = run_hosts(subject, empty="algo-2")
    for host, found in ended.items():
        if not found.completed:
            why = "did not end" if found.exit is None else f"ended with exit code {found.exit.code}"
            yield fail(f"{host} {why}, with nothing in the channels of algo-2", _tail(found))


@check(
    "SP043",
    "Hosts find one another by the files they are given, some later than others",
    row=43,
    symptom='"Could not resolve algo-2"; the rendezvous hangs',
    platform="names hosts and interface in resourceconfig.json; names resolve late, and sort as text: algo-10, algo-2",
    fix='hosts = json.load(open("/opt/ml/input/config/resourceconfig.json"))["hosts"]',
    stage=RUN,
    roles=("training",),
    mark="C",
    sources="training toolkit",
)
def hosts_find_one_another(subject: Subject) -> Iterator[Finding]:
    _several(subject)
    files = subject.files()
    for entry in files.walk(subject.config().workdir):
        suffix = f".{entry.path.rpartition('.')[2]}" if "." in entry.path.rpartition("/")[2] else ""
        if entry.is_file and suffix in _SOURCES and entry.size < 1 << 20:
            text = files.read(entry.path).decode("utf-8", "replace")
            if found := _HARD_CODED.search(text):
                line = text[: found.start()].count("\n") + 1
                yield warn(f"{found[1]} is written into {entry.path}", place=f"{files.place(entry.path)}:{line}")
    ended = run_hosts(subject, late=True)
    for host, found_run in ended.items():
        if not found_run.completed:
            why = "did not end" if found_run.exit is None else f"ended with exit code {found_run.exit.code}"
            yield fail(f"{host} {why}, with algo-2 a moment later than algo-1", _tail(found_run))


def _several(subject: Subject) -> None:
    if subject.options.hosts < HOSTS:
        raise NotApplicable("one host is asked for (--hosts 2)")
    _completed(subject)
