"""Serial inference pipelines: types that are handed on with parameters, and the chain as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seaproof.check.check import RUN, Evidence, Finding, NotApplicable, Unchecked, check, fail
from seaproof.check.options import Payload
from seaproof.check.run import describe_problem
from seaproof.check.startup import running
from seaproof.check.subject import Subject
from seaproof.check.traffic import answered, known_payload, shown
from seaproof.contract.http import INVOCATIONS, parse_media_type
from seaproof.contract.limits import REAL_TIME
from seaproof.errors import HttpError, SeaproofError
from seaproof.gateway.seats import Seat
from seaproof.settings import Settings

_HOP = REAL_TIME.pipeline_hop


@check(
    "SP024",
    "A Content-Type with a parameter is taken as without",
    row=24,
    symptom='pipeline: "Content type text/csv; charset=utf-8 is not supported"',
    platform="hands on the Content-Type that the container before answered, and frameworks add `; charset=utf-8`",
    fix='kind = request.content_type.partition(";")[0].strip()',
    stage=RUN,
    roles=("pipeline",),
    mark="U",
    sources="ex#729, #3235",
)
def parameters_of_types_are_taken(subject: Subject) -> Iterator[Finding]:
    answered(subject)
    run, known = running(subject), known_payload(subject)
    essence = parse_media_type(known.content_type).essence
    for kind in (f"{essence}; charset=utf-8", f"{essence};charset=UTF-8"):
        try:
            reply = run.invoke(known.body, kind, known.accept, timeout=subject.options.invocation_seconds)
        except HttpError as error:
            yield fail(f"{kind} has no answer: {describe_problem(error)}")
            return
        if not 200 <= reply.status < 300:
            yield fail(f"{kind} is answered with {reply.status}", Evidence("reply", shown(reply)))
            return


@check(
    "SP124",
    "The project's chain answers from end to end",
    symptom="ModelError that names a container of the chain",
    platform="sends each container's answer, with its Content-Type, to the next; any that is not 2xx ends it",
    fix="The step that is named says what it was sent, and what it answered.",
    stage=RUN,
    roles=("pipeline",),
    mark="D",
)
def chain_answers(subject: Subject) -> Iterator[Finding]:
    project = subject.target.project
    if project is None or not project.pipeline:
        raise NotApplicable("no pipeline is described in seaproof.toml")
    if subject.options.payload is None:
        raise Unchecked("no payload was given", next_step="Give --payload FILE --content-type TYPE.")
    from seaproof.gateway.containers import Containers
    from seaproof.inference_pipeline import find_pipeline

    state = str(subject.lab.folder() / "chain")
    settings = Settings(startup_timeout=subject.options.patience, state=state, driver=subject.options.driver)
    containers = Containers(find_pipeline(None, project.root, project), project, settings, subject.lab.say)
    try:
        containers.open()
        yield from _pass(subject, containers.chain, subject.options.payload)
    except SeaproofError as error:
        yield fail(f"the chain did not come up: {error.what}", Evidence("chain", str(error)))
    finally:
        containers.close()


def _pass(subject: Subject, seats: Sequence[Seat], payload: Payload) -> Iterator[Finding]:
    """Send the payload through the chain; a finding names the step that breaks it."""
    body, kind = payload.body, payload.content_type
    for number, seat in enumerate(seats, 1):
        place, name = seat.place, seat.container.name
        if place is None or seat.container.multi:
            raise Unchecked(f"{name} is multi-model or not there; `seaproof pipeline` passes requests through it")
        last = number == len(seats)
        headers = [
            (b"content-type", kind.encode()),
            *([(b"accept", payload.accept.encode())] if payload.accept else []),
        ]
        sent = Evidence("request", f"POST /invocations  {kind}  {body[:200].decode('utf-8', 'replace')}")
        try:
            reply = subject.lab.sender.request(
                place.host,
                place.port,
                "POST",
                INVOCATIONS,
                headers=headers,
                body=body,
                timeout=subject.options.invocation_seconds,
            )
        except HttpError as error:
            yield fail(f"step {number}, {name}, has no answer: {describe_problem(error)}", sent)
            return
        if not 200 <= reply.status < 300:
            cause = f"step {number}, {name}, answers {reply.status} to what came before it"
            yield fail(cause, sent, Evidence("reply", shown(reply)))
            return
        body, kind = reply.body, reply.header(b"content-type")
        if not last and len(body) > _HOP.value:
            yield fail(f"step {number}, {name}, hands on {len(body):,} bytes, more than {_HOP}")
