"""Batch transform: several records in one body, one of them bad, the variables of a job, /execution-parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator

from seaproof.check.check import RUN, Evidence, Finding, NotApplicable, Unchecked, check, fail, warn
from seaproof.check.run import describe_problem
from seaproof.check.startup import comes_up, running, startup
from seaproof.check.subject import Subject
from seaproof.check.traffic import answered, known_payload, shown
from seaproof.contract import environ
from seaproof.contract.http import EXECUTION_PARAMETERS, parse_media_type
from seaproof.errors import HttpError

_LINES = ("text/csv", "application/jsonlines", "application/jsonl", "application/x-ndjson", "text/libsvm")
_POISON = {"text/csv": b"seaproof,is,no,number", "application/jsonlines": b'{"seaproof": '}
_VARIABLES = {
    "SAGEMAKER_BATCH": "true",
    environ.BATCH_STRATEGY: "MULTI_RECORD",
    environ.MAX_PAYLOAD_MB: "6",
    environ.MAX_CONCURRENT_TRANSFORMS: "1",
}
_KEYS = {"MaxConcurrentTransforms": int, "BatchStrategy": str, "MaxPayloadInMB": int}


def _asked(subject: Subject) -> bool:
    """Whether batch was asked for by name, and not only thought possible."""
    return "batch" in subject.options.roles


@check(
    "SP021",
    "A body of several records is answered record by record",
    row=21,
    symptom='batch: "Extra data", JSONDecodeError',
    platform="joins lines to one body with SplitType Line and MultiRecord: a JSON document becomes several",
    fix='"BatchStrategy": "SingleRecord"        # or read application/jsonlines line by line',
    stage=RUN,
    roles=("batch",),
    mark="U",
    sources="huggingface/notebooks#227",
)
def several_records_are_answered(subject: Subject) -> Iterator[Finding]:
    one = answered(subject)
    run, known = running(subject), known_payload(subject)
    kind = parse_media_type(known.content_type).essence
    record = known.body.strip(b"\n")
    if kind not in (*_LINES, "application/json") or (kind == "application/json" and b"\n" in record):
        raise NotApplicable(f"{kind} is not split into lines")
    body = record + b"\n" + record + b"\n"
    try:
        reply = run.invoke(body, known.content_type, known.accept, timeout=subject.options.invocation_seconds)
    except HttpError as error:
        yield fail(f"two records in one body have no answer: {describe_problem(error)}")
        return
    told = (
        Evidence("request", f"{known.content_type}: {body[:200].decode('utf-8', 'replace')}"),
        Evidence("reply", shown(reply)),
    )
    if not 200 <= reply.status < 300:
        cause = f"two records in one body are answered with {reply.status}"
        if kind == "application/json" and not _asked(subject):
            yield warn(f"{cause}: a batch job needs SingleRecord", *told)
        else:
            yield fail(cause, *told)
    elif parse_media_type(reply.header(b"content-type")).essence in _LINES and _lines(reply.body) == _lines(one.body):
        yield fail("two records in one body have the answer of one", *told)


def _lines(body: bytes) -> int:
    return len(body.strip(b"\n").split(b"\n"))


@check(
    "SP022",
    "It is healthy with the variables of a batch job",
    row=22,
    symptom="a batch job runs for 30 min, then fails",
    platform="sets SAGEMAKER_BATCH and its strategy, and waits for /ping as for an endpoint",
    fix="See what it says with SAGEMAKER_BATCH=true.",
    stage=RUN,
    roles=("batch",),
    mark="U",
    sources="ex#815",
)
def healthy_as_a_batch_job(subject: Subject) -> Iterator[Finding]:
    if not startup(subject).healthy:
        raise Unchecked("it did not become healthy as an endpoint either", blocks=False)
    if subject.target.address:
        raise Unchecked("a container that runs already is not started", blocks=False)
    subject.lab.say("starting it with the variables of a batch job")
    again = comes_up(subject, environment=_VARIABLES)
    if not again.healthy:
        told = Evidence("environment", " ".join(f"{name}={value}" for name, value in _VARIABLES.items()))
        yield fail("it does not become healthy with the variables of a batch job", told, *again.evidence())


@check(
    "SP023",
    "One bad record does not take the container along",
    row=23,
    symptom="batch: one bad record, and no output at all",
    platform="writes no output for an object of which any request failed; other objects go on",
    fix="Answer a line for every record: an error's text instead of its prediction.",
    stage=RUN,
    roles=("batch",),
    mark="D",
    sources="developer guide: batch transform errors",
)
def one_bad_record_is_survived(subject: Subject) -> Iterator[Finding]:
    answered(subject)
    run, known = running(subject), known_payload(subject)
    kind = parse_media_type(known.content_type).essence
    poison = _POISON.get(kind)
    if poison is None:
        raise NotApplicable(f"{kind} is not split into lines")
    record = known.body.strip(b"\n")
    body = record + b"\n" + poison + b"\n" + record + b"\n"
    told = Evidence("request", f"{known.content_type}: {body[:200].decode('utf-8', 'replace')}")
    try:
        reply = run.invoke(body, known.content_type, known.accept, timeout=subject.options.invocation_seconds)
    except HttpError as error:
        yield fail(f"a bad record among good ones has no answer: {describe_problem(error)}", told)
        return
    if run.exit(0.2) is not None:
        yield fail("a bad record ended the container", told, Evidence("log", run.log_tail()))
    elif reply.status >= 500 and _asked(subject):
        yield warn(
            f"a bad record is answered with {reply.status}: it is sent three times more before its object is given up",
            told,
            Evidence("reply", shown(reply)),
            fix="Answer 400 to what a retry cannot cure.",
        )


@check(
    "SP121",
    "/execution-parameters, where it is there, can be read",
    symptom="a batch job with other strategy and size than the container wants",
    platform="asks GET /execution-parameters for what the request leaves open; 404 means no opinion",
    fix='{"MaxConcurrentTransforms": 8, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}',
    stage=RUN,
    roles=("batch",),
    mark="D",
)
def execution_parameters_are_readable(subject: Subject) -> Iterator[Finding]:
    try:
        reply = running(subject).request("GET", EXECUTION_PARAMETERS, timeout=5)
    except HttpError as error:
        yield warn(f"GET {EXECUTION_PARAMETERS} has no answer: {describe_problem(error)}")
        return
    if reply.status != 200:
        return
    told = Evidence("reply", shown(reply))
    try:
        value = json.loads(reply.body)
    except ValueError:
        yield warn("it is answered with 200 and no JSON", told)
        return
    if not isinstance(value, dict):
        yield warn("it is answered with JSON that is no object", told)
        return
    for key, kind in _KEYS.items():
        if key in value and not isinstance(value[key], kind):
            yield fail(f"{key} is {value[key]!r}", told)
    if value.get("BatchStrategy", "MULTI_RECORD") not in ("MULTI_RECORD", "SINGLE_RECORD"):
        yield fail(f"BatchStrategy is {value['BatchStrategy']!r}", told)
    both = value.get("MaxConcurrentTransforms", 1), value.get("MaxPayloadInMB", 6)
    if all(isinstance(number, int) for number in both) and both[0] * both[1] > 100:
        yield fail(f"MaxConcurrentTransforms x MaxPayloadInMB is {both[0] * both[1]}, and 100 is the most", told)
