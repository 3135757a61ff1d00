"""Asynchronous inference: objects of up to 1 GB as bodies, up to an hour for each, as many at once as are asked."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from seaproof.check.check import (
    COMPARE,
    RUN,
    STATIC,
    Evidence,
    Finding,
    NotApplicable,
    Unchecked,
    check,
    fail,
    warn,
)
from seaproof.check.limits import early, refused_for_size
from seaproof.check.options import MIB, instance_memory
from seaproof.check.run import Run, describe_problem
from seaproof.check.startup import running, start_once
from seaproof.check.subject import Subject
from seaproof.check.traffic import answered, known_payload, payload, several, shown
from seaproof.contract.http import INVOCATIONS
from seaproof.contract.limits import ASYNCHRONOUS
from seaproof.errors import HttpError
from seaproof.http.client import Client
from seaproof.http.message import Headers
from seaproof.http.reply import Reply

_PIECE = b" " * MIB
_DEFAULT_SECONDS = 900
"""InvocationTimeoutSeconds where the caller gives none."""
_LARGE_SECONDS = 240.0
"""How long we wait for what comes of the large body."""


@check(
    "SP140",
    "A body of 1 GB is taken",
    symptom="asynchronous invocations of large objects end in an error file: 413, or the container was killed",
    platform="sends the object whole as the body of POST /invocations: up to 1 GB, with its Content-Length",
    fix="Read the body in pieces into a file, and: client_max_body_size 1g;  proxy_request_buffering off;  # nginx",
    stage=RUN,
    roles=("async",),
    mark="D",
    sources="developer guide: asynchronous inference",
)
def a_large_object_is_taken(subject: Subject) -> Iterator[Finding]:
    known = payload(subject)
    if isinstance(subject.lab.has("first reply"), HttpError):
        raise Unchecked("not even the payload is answered", blocks=False)
    size = min(subject.options.async_body, ASYNCHRONOUS.value)
    kind = known.content_type if known else "text/csv"
    subject.lab.say(f"sending a body of {size / MIB:,.0f} MiB, as asynchronous inference may")
    run = _one_of_its_own(subject)
    try:
        yield from _pass_on(subject, run, kind, size)
    finally:
        run.stop(0)


def _one_of_its_own(subject: Subject) -> Run:
    """A container that nobody else asks: it may be busy with the body for a while."""
    shared = running(subject)
    if shared.driver is None:
        return shared
    found = start_once(subject, subject.lab.model_root(), steady=False)
    if found.run is None or not found.healthy:
        raise Unchecked("it did not come up again", blocks=False)
    return found.run


def _pass_on(subject: Subject, run: Run, kind: str, size: int) -> Iterator[Finding]:
    """Send a body of this size; what came of it."""
    told = Evidence("request", f"POST /invocations, {kind}, {size:,} bytes")
    try:
        reply = subject.lab.sender.run(lambda client: _send_large(client, run, kind, size))
    except HttpError as error:
        exit = run.exit(2.0)
        if exit is not None:
            yield _ended(subject, size, exit.out_of_memory or exit.code == 137, told, Evidence("log", run.log_tail(6)))
        elif error.kind == "timeout":
            raise Unchecked(
                f"a body of {size:,} bytes was not answered in {_LARGE_SECONDS:g} s", blocks=False
            ) from error
        elif error.kind != "oversize":  # which is an answer, with all of the body in it
            yield fail(f"a body of {size:,} bytes breaks the connection off: {describe_problem(error)}", told)
        return
    if refused_for_size(reply):
        yield fail(f"a body of {size:,} bytes is refused with {reply.status}", told, Evidence("reply", shown(reply)))


def _ended(subject: Subject, size: int, memory: bool, *told: Evidence) -> Finding:
    """The container is gone: for want of memory that the instance may have, or not."""
    whole = instance_memory(subject.options.instance_type) or subject.options.memory
    has = f"{subject.options.memory / MIB:,.0f} MiB"
    if memory and subject.options.memory < whole:
        return warn(f"a body of {size:,} bytes does not fit into the {has} that it has here", *told)
    why = f", with {has} of memory" if memory else ""
    return fail(f"a body of {size:,} bytes ends the container{why}", *told)


async def _send_large(client: Client, run: Run, kind: str, size: int) -> Reply:
    headers: Headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % size)]
    host, port = run.handle.host or "", run.handle.port or 0
    return await client.request(
        host, port, "POST", INVOCATIONS, headers, _blanks(size), timeout=_LARGE_SECONDS, max_body=64 * MIB
    )


async def _blanks(size: int) -> AsyncIterator[bytes]:
    """Blanks are no row and no JSON: refused for what they say, not for their size, and nothing is computed."""
    while size > 0:
        yield _PIECE[:size]
        size -= len(_PIECE)


@check(
    "SP141",
    "Nothing in front of the model gives up before an asynchronous invocation may end",
    symptom="asynchronous invocations end in an error file after 30 or 60 s",
    platform="waits InvocationTimeoutSeconds for an answer: 900 s where none is given, 3,600 s at most",
    fix="gunicorn --timeout 3600 ...\n# nginx: proxy_read_timeout 3600s;",
    stage=STATIC,
    roles=("async",),
    mark="D",
    sources="API reference: InvokeEndpointAsync",
    limit="what is compiled in, or set when it runs, is not read; `--hold SECONDS` holds an invocation as long",
)
def nothing_gives_up_early(subject: Subject) -> Iterator[Finding]:
    seen = False
    for subject_of, seconds, place in early(subject):
        seen = True
        if 0 < seconds < _DEFAULT_SECONDS:
            yield warn(f"{subject_of} after {seconds:g} s, and {_DEFAULT_SECONDS} s are waited for", place=place)
    if not seen:
        raise NotApplicable("no gunicorn and no nginx is configured in what can be read")


@check(
    "SP142",
    "As many invocations at once as the endpoint's configuration names are answered",
    symptom="asynchronous invocations end in error files under load, and only then",
    platform="sends as many at once to an instance as MaxConcurrentInvocationsPerInstance says",
    fix='"MaxConcurrentInvocationsPerInstance": 1        # or as many workers',
    stage=RUN,
    roles=("async",),
    mark="D",
    sources="API reference: AsyncInferenceClientConfig",
)
def as_many_at_once_are_answered(subject: Subject) -> Iterator[Finding]:
    level = max((int(c.get("MaxConcurrentInvocationsPerInstance") or 0) for c in _clients(subject)), default=0)
    if not level:
        raise NotApplicable("no request sets MaxConcurrentInvocationsPerInstance")
    answered(subject)
    run, known = running(subject), known_payload(subject)

    def send(_: int) -> str:
        try:
            reply = run.invoke(known.body, known.content_type, known.accept, timeout=_LARGE_SECONDS)
        except HttpError as error:
            return describe_problem(error)
        return "" if 200 <= reply.status < 300 else shown(reply)

    begun = time.monotonic()
    with several(level) as pool:
        problems = [problem for problem in pool.map(send, range(level)) if problem]
    took = time.monotonic() - begun
    told = Evidence(f"{level} at once", f"{len(problems)} of {level} in {took:.1f} s: {(problems or [''])[0]}")
    if problems:
        yield fail(f"of {level} invocations at once, {len(problems)} are not answered with 2xx", told)


@check(
    "SP143",
    "The configuration of an asynchronous endpoint goes together",
    symptom="ValidationException at CreateEndpointConfig, or callers get ValidationError for InvokeEndpoint",
    platform="takes asynchronous endpoints of instances only, not serverless, and without shadow variants",
    fix="See the rule that is named.",
    stage=COMPARE,
    roles=("async", "realtime", "serverless"),
    mark="I",
)
def configuration_goes_together(subject: Subject) -> Iterator[Finding]:
    found = [r for r in subject.target.requests if r.body.get("AsyncInferenceConfig")]
    if not found:
        raise NotApplicable("no request has an AsyncInferenceConfig")
    for request in found:
        variants = request.body.get("ProductionVariants") or []
        if any(variant.get("ServerlessConfig") for variant in variants):
            yield warn("AsyncInferenceConfig does not go with a serverless variant", place=request.place)
        if request.body.get("ShadowProductionVariants"):
            yield warn("AsyncInferenceConfig does not go with shadow variants", place=request.place)
        output = request.body["AsyncInferenceConfig"].get("OutputConfig") or {}
        if not output.get("S3FailurePath"):
            yield warn(
                "without S3FailurePath nobody is told where the error of an invocation lies",
                place=request.place,
                fix='"OutputConfig": {"S3OutputPath": "s3://...", "S3FailurePath": "s3://..."}',
            )


def _clients(subject: Subject) -> list[dict[str, Any]]:
    return [(r.body.get("AsyncInferenceConfig") or {}).get("ClientConfig") or {} for r in subject.target.requests]
