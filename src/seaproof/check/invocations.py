"""POST /invocations as the platform sends it: what is answered, how many at once, and what it costs over time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise

from seaproof.check.check import RUN, SERVING, Evidence, Finding, Unchecked, check, fail, warn
from seaproof.check.options import Payload
from seaproof.check.run import Run, describe_problem
from seaproof.check.startup import running
from seaproof.check.subject import Subject
from seaproof.check.traffic import answered, invoke_payload, known_payload, several, shown
from seaproof.contract.http import parse_media_type
from seaproof.errors import HttpError
from seaproof.http.reply import Reply
from seaproof.invocations.send import Ping

_AT_ONCE = 4
_LEVELS = (1, 2, 4, 8, 16, 32)
_LEVEL_BUDGET = 8.0
_QUEUE_SECONDS = 20.0
"""How long a request may wait behind others that are far shorter, before we say that it has no answer."""
_ALONE_BUDGET, _GROWTH_BUDGET = 4.0, 12.0
_SAMPLE = 25
_LEAST_WRITTEN = 512
"""Bytes of an invocation; a line of a log is less."""
_LEAST_GROWTH = 16 * 1024 * 1024
"""Bytes, over however many invocations: the heap of a runtime that collects garbage grows by less before it does."""
_PING_LIMIT = 2.0
Outcome = Reply | HttpError


@check(
    "SP115",
    "The payload is answered with 2xx",
    symptom="ModelError: Received client error (4xx) or server error (5xx) from primary",
    platform="gives callers a ModelError (424) for every answer that is not 2xx",
    fix="The answer's body and the container's log say what it missed.",
    stage=RUN,
    roles=("realtime", "serverless", "async", "batch", "pipeline"),
    mark="D",
)
def payload_is_answered(subject: Subject) -> Iterator[Finding]:
    known = known_payload(subject)
    sent = Evidence(
        "request", f"POST /invocations  {known.content_type}  {known.body[:200].decode('utf-8', 'replace')}"
    )
    try:
        reply = invoke_payload(subject)
    except HttpError as error:
        if error.kind == "timeout":
            raise Unchecked("no answer came in time; see SP015", blocks=False) from error
        told = Evidence("log", running(subject).log_tail())
        yield fail(f"the payload has no answer: {describe_problem(error)}", sent, told)
        return
    if not 200 <= reply.status < 300:
        log = Evidence("log", running(subject).log_tail())
        yield fail(f"the payload is answered with {reply.status}", sent, Evidence("reply", shown(reply)), log)


@check(
    "SP025",
    "The answer has the type that was asked for",
    row=25,
    symptom="the client decodes HTML, or fails on the wrong ContentType",
    platform="hands the container's Content-Type to the caller as it is; SDKs choose their decoder by it",
    fix='return Response(body, mimetype="application/json")',
    stage=RUN,
    roles=SERVING,
    mark="U",
    sources="sagemaker-scikit-learn-container#149",
)
def answer_has_the_type_asked_for(subject: Subject) -> Iterator[Finding]:
    reply, known = answered(subject), known_payload(subject)
    given = reply.header(b"content-type")
    kind = parse_media_type(given).essence
    told = Evidence("reply", shown(reply))
    if kind == "text/html":
        yield fail("the answer says that it is text/html, a framework's default", told)
    elif not given and reply.body:
        yield warn("the answer has no Content-Type", told)
    elif known.accept and not any(parse_media_type(part).matches(kind) for part in known.accept.split(",")):
        yield fail(f"{known.accept} was asked for, and {given} came", told)


@check(
    "SP103",
    "Requests without Accept, with `*/*`, and with headers it does not know are answered too",
    symptom="406, 415 or 500 for callers that leave Accept out",
    platform="passes on what the caller sends; boto3 sends no Accept and no Content-Type unless told to",
    fix="Treat a missing Accept as */*, and ignore headers that are not known.",
    stage=RUN,
    roles=SERVING,
    mark="I",
)
def usual_headers_are_taken(subject: Subject) -> Iterator[Finding]:
    answered(subject)
    run, known = running(subject), known_payload(subject)
    strange = [(b"x-amzn-sagemaker-custom-attributes", b"trace=1"), (b"x-amzn-sagemaker-inference-id", b"check-1")]
    for name, accept, extra in (
        ("no Accept", "", []),
        ("Accept: */*", "*/*", []),
        ("X-Amzn-SageMaker-Custom-Attributes and Inference-Id", known.accept, strange),
    ):
        if name == "no Accept" and not known.accept:
            continue
        try:
            reply = run.invoke(
                known.body, known.content_type, accept, extra=extra, timeout=subject.options.invocation_seconds
            )
        except HttpError as error:
            yield warn(f"with {name} there is no answer: {describe_problem(error)}")
            continue
        if not 200 <= reply.status < 300:
            yield warn(f"with {name} the answer is {reply.status}", Evidence("reply", shown(reply)))


@check(
    "SP011",
    "/ping is answered while it computes",
    row=11,
    symptom="ping is fine, and the host is replaced under load",
    platform="pings all the time with a limit of 2 s; what does not answer is replaced",
    fix="gunicorn --workers 2 --threads 4 ...        # a thread is left for /ping",
    stage=RUN,
    roles=SERVING,
    mark="I",
)
def ping_is_answered_meanwhile(subject: Subject) -> Iterator[Finding]:
    answered(subject)
    run, known = running(subject), known_payload(subject)
    subject.lab.say(f"pinging it with {_AT_ONCE} invocations under way")
    pings: list[tuple[float, Ping]] = []
    patience = min(subject.options.invocation_seconds, _QUEUE_SECONDS)
    with several(_AT_ONCE) as pool:
        sent = [pool.submit(_send, run, known, patience) for _ in range(2 * _AT_ONCE)]
        deadline = time.monotonic() + patience
        while not all(future.done() for future in sent) and time.monotonic() < deadline:
            begun = time.monotonic()
            ping = run.ping(_PING_LIMIT)
            pings.append((time.monotonic() - begun, ping))
            if not ping.healthy:
                break
            time.sleep(0.02)
        for future in sent:
            future.cancel()
    bad = [(seconds, ping) for seconds, ping in pings if not ping.healthy]
    if bad:
        told = Evidence("GET /ping", f"{bad[0][1]} after {bad[0][0]:.1f} s, with {_AT_ONCE} invocations under way")
        yield fail("/ping is not answered within 2 s while it computes", told)
    elif pings and max(pings, key=lambda pair: pair[0])[0] > _PING_LIMIT / 2:
        slowest = max(seconds for seconds, _ in pings)
        yield warn(f"/ping took {slowest:.1f} of 2 s while {_AT_ONCE} invocations were under way")


@check(
    "SP101",
    "Several requests at once are answered",
    symptom="ModelError under load: connections refused, 5xx, or no answer within 60 s",
    platform="sends requests as they come, without a queue of its own",
    fix="More workers or threads, or more instances; an autoscaling target below what breaks it.",
    stage=RUN,
    roles=SERVING,
    mark="I",
)
def many_at_once_are_answered(subject: Subject) -> Iterator[Finding]:
    answered(subject)
    run, known, limit = running(subject), known_payload(subject), subject.options.invocation_seconds
    subject.lab.say("asking it several things at once")
    patience = min(limit, _QUEUE_SECONDS)
    measured: list[tuple[int, float]] = []
    begun = time.monotonic()
    for level in _LEVELS:
        with several(level) as pool:
            # One alone has all of its time; one of several that waits for long beside quick ones has no answer.
            given = limit if not measured or measured[0][1] > patience / 4 else patience
            outcomes = list(pool.map(lambda _, given=given: _timed(run, known, given), range(level)))
        measured.append((level, max(seconds for seconds, _ in outcomes)))
        problems = [problem for _, outcome in outcomes if (problem := _problem(outcome))]
        if problems:
            alone = f"one alone takes {measured[0][1]:.2f} s"
            told = Evidence(f"{level} at once", f"{len(problems)} of {level}: {problems[0]} ({given:g} s); {alone}")
            refused = "503" in problems[0] or "429" in problems[0]
            cause = f"of {level} requests at once, {len(problems)} are not answered with 2xx"
            if measured[-1][1] > given and (breaks := _breaking(measured[:-1], limit) or level):
                cause = f"{cause}: about {min(breaks, level)} at once break the {limit:g} s"
            yield warn(cause, told) if refused or level > 8 else fail(cause, told)
            break
        if time.monotonic() - begun + 2 * measured[-1][1] > _LEVEL_BUDGET:
            break
    subject.lab.learn("concurrency", measured)
    subject.lab.learn("answered at once", not problems)
    breaks = 0 if problems else _breaking(measured, limit)
    slowest = measured[-1]
    subject.lab.notes.append(
        f"measured: {slowest[0]} requests at once take {slowest[1] * 1000:.0f} ms at most"
        + (f"; about {breaks:,} at once would break the {limit:g} s" if breaks else "")
    )
    if breaks and breaks <= _AT_ONCE:
        yield warn(f"{breaks} requests at once break the {limit:g} s")


def _breaking(measured: list[tuple[int, float]], limit: float) -> int:
    """The smallest concurrency at which the slowest answer takes longer than the limit; 0 where none is in sight."""
    over = [level for level, seconds in measured if seconds > limit]
    if over:
        return over[0]
    (first, base), (level, seconds) = measured[0], measured[-1]
    if level == first or seconds < 1.5 * base:
        return 0  # it does not queue yet
    per_request = (seconds - base) / (level - first)
    return int(level + (limit - seconds) / per_request) + 1


@check(
    "SP102",
    "Its memory does not grow from request to request",
    symptom="after hours the container is killed, and starts again",
    platform="ends what takes more memory than the instance has",
    fix="gunicorn --max-requests 1000 ...        # until the leak is found: tracemalloc shows it",
    stage=RUN,
    roles=SERVING,
    mark="I",
)
def memory_does_not_grow(subject: Subject) -> Iterator[Finding]:
    answered(subject)
    run, count = running(subject), subject.options.invocations
    if run.driver is None or not run.memory():
        raise Unchecked("its memory cannot be seen from here", blocks=False)
    subject.lab.say(f"sending {count:,} invocations, and looking at its memory")
    latencies, sampled = _invoke_again_and_again(subject, count)
    subject.lab.learn("memory", list(run.memory_seen))
    if len(sampled) < 4:
        raise Unchecked(
            f"it answered {len(latencies)} of {count} invocations in {_GROWTH_BUDGET:g} s, too few to tell",
            blocks=False,
        )
    samples = [sampled[len(sampled) * quarter // 4 - 1] for quarter in range(1, 5)]
    grown = samples[-1] - samples[0]
    steps = [later - earlier for earlier, later in pairwise(samples)]
    if grown > _LEAST_GROWTH and min(steps) > grown / 6:
        per_request = grown / (0.75 * len(latencies))
        told = Evidence("memory", " -> ".join(f"{sample / 1024**2:,.0f} MiB" for sample in samples))
        yield warn(f"it grows by about {per_request / 1024:,.1f} KiB with each invocation", told)


def _invoke_again_and_again(subject: Subject, count: int) -> tuple[list[float], list[int]]:
    """Seconds of each of so many invocations, as far as the time goes, and its memory now and then, in bytes."""
    run, known, limit = running(subject), known_payload(subject), subject.options.invocation_seconds
    together = subject.lab.has("answered at once") is not False
    latencies: list[float] = []
    sampled: list[int] = []
    written, begun = run.wrote(), time.monotonic()

    def one(_: int) -> tuple[float, Outcome]:
        return _timed(run, known, limit)

    with several(_AT_ONCE) as pool:
        while len(latencies) < count and time.monotonic() - begun < _GROWTH_BUDGET:
            # One by one at first, for honest latencies; what is slow is then sent several at once.
            alone = not together or time.monotonic() - begun < _ALONE_BUDGET
            quick = max(_AT_ONCE, min(_SAMPLE, int(1 / max(latencies[-1:] or [1.0]))))
            batch = range(min(quick, count - len(latencies)))
            sent = list(map(one, batch) if alone else pool.map(one, batch))
            if bad := next((problem for _, outcome in sent if (problem := _problem(outcome))), ""):
                raise Unchecked(f"invocations after {len(latencies):,} were not answered: {bad}", blocks=False)
            latencies += [seconds for seconds, _ in sent]
            sampled.append(run.memory())
    subject.lab.learn("latencies", latencies)
    subject.lab.learn("written", run.wrote() - written)
    return latencies, sampled


@check(
    "SP138",
    "It does not write to its disk with every request",
    symptom="after days `No space left on device`, and 500 for everybody",
    platform="gives a disk that nobody empties: 5 GB on serverless endpoints",
    fix="Log to stdout, and remove what a request leaves in /tmp.",
    stage=RUN,
    roles=SERVING,
    mark="I",
)
def disk_does_not_fill(subject: Subject) -> Iterator[Finding]:
    latencies, written = subject.lab.has("latencies"), subject.lab.has("written")
    if not latencies or written is None:
        raise Unchecked("its memory over many invocations was not looked at; see SP102", blocks=False)
    each = written / len(latencies)
    if each > _LEAST_WRITTEN and len(latencies) > _SAMPLE:
        told = Evidence("written", f"{written / 1024:,.0f} KiB during {len(latencies):,} invocations")
        until = subject.options.disk / each
        cause = f"it writes about {each / 1024:,.1f} KiB with each invocation: after {until:,.0f} the disk is full"
        yield warn(cause, told)


def _send(run: Run, known: Payload, timeout: float) -> Outcome:
    try:
        return run.invoke(known.body, known.content_type, known.accept, timeout=timeout)
    except HttpError as error:
        return error


def _timed(run: Run, known: Payload, timeout: float) -> tuple[float, Outcome]:
    begun = time.monotonic()
    outcome = _send(run, known, timeout)
    return time.monotonic() - begun, outcome


def _problem(outcome: Outcome) -> str:
    """Why it is no success; empty where it is one."""
    if isinstance(outcome, HttpError):
        return describe_problem(outcome)
    return "" if 200 <= outcome.status < 300 else shown(outcome)
