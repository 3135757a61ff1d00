"""Processing jobs: the message that they leave, and where their outputs lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seaproof.check.check import COMPARE, RUN, Evidence, Finding, NotApplicable, Unchecked, check, fail, warn
from seaproof.check.run import Run
from seaproof.check.subject import Subject
from seaproof.contract.opt_ml import write_processing
from seaproof.errors import StartFailed

_BASE = "/opt/ml/processing"
_MESSAGE_LIMIT = 1024


def _job(subject: Subject) -> tuple[Path, Run]:
    """The processing job, run once to its end: its /opt/ml, and the run."""

    def find() -> tuple[Path, Run]:
        lab = subject.lab
        root = lab.new_opt_ml()
        requests = [r.body for r in subject.target.requests if r.operation == "CreateProcessingJob"]
        given = requests[0] if requests else {}
        app = given.get("AppSpecification") or {}
        write_processing(root, given, "algo-1", ["algo-1"])
        for path in [*_inputs(given), *_outputs(given), f"{_BASE}/input", f"{_BASE}/output"]:
            if path.startswith("/opt/ml/"):
                (root / path.removeprefix("/opt/ml/")).mkdir(parents=True, exist_ok=True)
        program = subject.target.program
        entry = app.get("ContainerEntrypoint") or (["process"] if program is not None else None)
        arguments = tuple(app.get("ContainerArguments") or ())
        variables = {
            **{str(k): str(v) for k, v in (given.get("Environment") or {}).items()},
            **subject.options.environment,
        }
        lab.say("running the processing job")
        try:
            run = lab.start(
                lab.workload(
                    "process",
                    root,
                    entrypoint=tuple(entry) if entry else None,
                    arguments=arguments,
                    environment=variables,
                    port=None,
                    read_only=(),
                )
            )
        except StartFailed as error:
            lab.learn("processing not started", error)
            raise Unchecked(f"it could not be started: {error.what}", next_step=error.next_step) from error
        if run.exit(subject.options.patience) is None:
            run.stop(1)
            raise Unchecked(
                f"it had not ended after {subject.options.patience:g} s", next_step="Give --patience SECONDS."
            )
        run.log()
        run.stop(0)
        return root, run

    return subject.lab.once("processing", find)


@check(
    "SP148",
    "A processing job completes",
    symptom="the processing job ends as Failed",
    platform="starts the request's ContainerEntrypoint, else the image's, and takes exit code 0 for Completed",
    fix="The last lines of its log say why it ended.",
    stage=RUN,
    roles=("processing",),
    mark="D",
    sources="build-your-own-processing-container",
)
def processing_completes(subject: Subject) -> Iterator[Finding]:
    try:
        _, run = _job(subject)
    except Unchecked:
        if problem := subject.lab.has("processing not started"):
            yield fail("it could not be started", Evidence("it was not started", str(problem)))
            return
        raise
    exit = run.exit()
    if exit is not None and exit.code != 0:
        memory = ", out of memory" if exit.out_of_memory else ""
        told = Evidence("it ended", f"exit code {exit.code}{memory}"), Evidence("log", run.log_tail())
        yield fail(f"the job ended with exit code {exit.code}", *told)


@check(
    "SP047",
    "The message that a processing job leaves is UTF-8",
    row=47,
    symptom='the processing job fails with "ClientError" on its exit message',
    platform="reads the first 1,024 bytes of /opt/ml/output/message as UTF-8 into ExitMessage",
    fix='Path("/opt/ml/output/message").write_text(text, encoding="utf-8")',
    stage=RUN,
    roles=("processing",),
    mark="D",
    sources="build-your-own-processing-container",
)
def message_is_text(subject: Subject) -> Iterator[Finding]:
    root, _ = _job(subject)
    message = root / "output" / "message"
    if not message.is_file():
        raise NotApplicable("it leaves no message")
    data = message.read_bytes()
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        yield fail(
            f"/opt/ml/output/message is no UTF-8 at byte {error.start}",
            Evidence("its first bytes", repr(data[:80])),
        )
    if len(data) > _MESSAGE_LIMIT:
        yield warn(f"/opt/ml/output/message has {len(data):,} bytes, of which the first {_MESSAGE_LIMIT:,} are kept")


@check(
    "SP048",
    "Outputs of a processing job lie where they are fetched from",
    row=48,
    symptom="outputs of a processing job are missing",
    platform="fetches the LocalPath of each output, which must lie below /opt/ml/processing, and follows no links",
    fix='"LocalPath": "/opt/ml/processing/output"',
    stage=COMPARE,
    roles=("processing", "training", "realtime"),
    mark="D",
    sources="build-your-own-processing-container",
)
def outputs_are_fetched(subject: Subject) -> Iterator[Finding]:
    requests = [r for r in subject.target.requests if r.operation == "CreateProcessingJob"]
    for request in requests:
        for path in [*_inputs(request.body), *_outputs(request.body)]:
            if not path.startswith(f"{_BASE}/"):
                yield fail(f"{path} does not lie below {_BASE}", place=request.place)
    if "processing" not in subject.roles or not subject.target.runs or subject.options.fast:
        if not requests:
            raise NotApplicable("no CreateProcessingJob request was given")
        return
    root, run = _job(subject)
    outputs = [path for request in requests for path in _outputs(request.body)] or [f"{_BASE}/output"]
    for output in outputs:
        folder = root / output.removeprefix("/opt/ml/")
        links = [path for path in folder.rglob("*") if path.is_symlink()] if folder.is_dir() else []
        if links:
            yield fail(f"{output}/{links[0].relative_to(folder)} is a link, which is not followed")
        if not folder.is_dir() or not any(folder.iterdir()):
            yield warn(f"nothing is in {output}", Evidence("log", run.log_tail()))


def _inputs(request: Any) -> list[str]:
    body = request if isinstance(request, dict) else {}
    found = []
    for given in body.get("ProcessingInputs") or []:
        path = (given.get("S3Input") or {}).get("LocalPath") or (given.get("DatasetDefinition") or {}).get("LocalPath")
        found += [str(path)] if path else []
    return found


def _outputs(request: Any) -> list[str]:
    body = request if isinstance(request, dict) else {}
    outputs = (body.get("ProcessingOutputConfig") or {}).get("Outputs") or []
    return [str(path) for given in outputs if (path := (given.get("S3Output") or {}).get("LocalPath"))]
