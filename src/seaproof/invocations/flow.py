"""What one invocation does, without I/O: which container is called with what, and what its answer means.

`invocation` is a generator: it yields a `Call`, is sent the `Reply` (or thrown the HttpError) and returns the
response for the caller, or raises the ServiceError that the platform would answer. `send.invoke` drives it.

    variant (TargetVariant, or by weight) -> instance (fewest requests under way) -> its containers in series

Headers, limits and error wording: developer guide, "Use your own inference code", and the API model of
sagemaker-runtime. What is not documented there is decided in docs/decisions/invocation-errors.md.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from seaproof.contract.http import (
    CUSTOM_ATTRIBUTES,
    FORWARDED_TO_CONTAINER,
    INVOKED_VARIANT,
    RETURNED_TO_CALLER,
    SESSION_ID,
    TARGET_CONTAINER,
    TARGET_MODEL,
    TARGET_VARIANT,
)
from seaproof.http import reply as http_reply
from seaproof.http.message import Headers, Request, Response
from seaproof.http.reply import StreamedReply
from seaproof.invocations import answers, target_model
from seaproof.invocations.chain import Call, Chain, Opened, Reply, Step, StepFailed, Trace, Wait, chain
from seaproof.invocations.hop_body import LARGE, HopBody
from seaproof.invocations.routing import Container, Instance, Routes, Routing, Variant
from seaproof.invocations.sessions import NEW, Sessions
from seaproof.invocations.stored_body import StoredBody
from seaproof.invocations.terms import Terms, of_variant, real_time
from seaproof.invocations.tracing import Span
from seaproof.settings import Settings

_FORWARDED = {name.lower().encode(): name.encode() for name in FORWARDED_TO_CONTAINER}
_RETURNED = {name.lower().encode(): name.encode() for name in RETURNED_TO_CALLER}
_INVOKED_VARIANT = INVOKED_VARIANT.encode()
_TARGET_VARIANT = TARGET_VARIANT.lower().encode()
_CUSTOM_ATTRIBUTES = CUSTOM_ATTRIBUTES.lower().encode()
_PLATFORM = b"x-amzn-sagemaker-"
_SESSION_ID = SESSION_ID.lower().encode()
_TARGET_CONTAINER = TARGET_CONTAINER.lower().encode()
_TARGET_MODEL = TARGET_MODEL.lower().encode()
DECIDED_LATER = (_TARGET_CONTAINER, _TARGET_MODEL)
"""Headers (lower case) that some endpoints take: whether this one does is found with its instance."""
_REMEMBERED, _REMEMBERED_HEADERS, _REMEMBERED_BYTES = 256, 32, 1024
_givens: dict[tuple[tuple[bytes, bytes], ...], _Given] = {}
_TARGET_MODEL_LIMIT = 1024  # API model: TargetModelHeader maximum


Steps = Generator[Call | Wait, Any, Response]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request at one instance, for whoever counts and explains."""

    endpoint: str
    variant: str
    instance: str
    trace: Trace
    seconds: float
    """From the request's arrival here to its answer."""
    failed: StepFailed | None = None


Report = Callable[[Outcome], None]


@dataclass(slots=True)
class _Choice:
    """Chooses instances for one request, none twice."""

    routes: Routes
    endpoint: str
    target: str
    session: str
    """The session that the request is of; "" for none, and for one to be opened."""
    settings: Settings
    chance: random.Random
    tried: frozenset[Instance] = frozenset()
    sessions: Sessions | None = None
    """Those of the endpoint, once an instance was chosen."""

    def enter(self) -> tuple[Variant, Instance] | None:
        """Choose and enter an instance; None where none is left. ServiceError where nothing fits the request."""
        while True:
            # Read anew each time: an instance that has just been closed is gone from the newest snapshot.
            routing = self.routes.get(self.endpoint)
            if routing is None:
                raise answers.endpoint_not_found(self.settings, self.endpoint)
            self.sessions = routing.sessions
            variants: Sequence[Variant] = routing.variants
            if self.target:
                variants = [variant for variant in variants if variant.name == self.target]
                if not variants:
                    raise answers.variant_not_found(self.settings, self.endpoint, self.target)
            else:
                variants = [variant for variant in variants if variant.weight > 0]
            if self.session:
                variants = self._keeping(routing, variants)
            found = self._pick(variants)
            if found is None:
                return None
            variant, instance = found
            if variant.concurrency and instance.outstanding >= variant.concurrency:
                raise answers.throttled(self.endpoint, variant)
            if instance.enter():
                return found
            self.tried |= {instance}

    def _keeping(self, routing: Routing, variants: Sequence[Variant]) -> list[Variant]:
        """The variants with that instance alone which keeps the session."""
        id = routing.sessions.instance_of(self.session)
        kept = [(v, tuple(i for i in v.instances if i.id == id)) for v in variants]
        found = [replace(variant, instances=instances) for variant, instances in kept if instances]
        if not found:
            raise answers.no_session(self.endpoint, self.session)
        return found

    def _pick(self, variants: Sequence[Variant]) -> tuple[Variant, Instance] | None:
        if len(variants) == 1 and len(variants[0].instances) == 1 and not self.tried:
            return variants[0], variants[0].instances[0]
        left = [(v, [i for i in v.instances if i not in self.tried]) for v in variants]
        left = [(variant, instances) for variant, instances in left if instances]
        if not left:
            return None
        if len(left) == 1:
            variant, instances = left[0]
        else:
            weights = [variant.weight for variant, _ in left]
            variant, instances = self.chance.choices(left, weights)[0]
        if len(instances) == 1:
            return variant, instances[0]
        return variant, min(instances, key=lambda instance: (instance.outstanding, self.chance.random()))


_CHANCE = random.Random()


def invocation(
    routes: Routes,
    endpoint: str,
    request: Request,
    settings: Settings,
    *,
    terms: Terms | None = None,
    report: Report | None = None,
    stored: StoredBody | None = None,
    chance: random.Random = _CHANCE,
    now: Callable[[], float] = time.monotonic,
) -> Steps:
    """The steps of one invocation; see the module. `request` is the caller's, with header names in lower case and
    those of InvokeEndpoint. `terms` are those of a real-time invocation where none are given.

    A connection that is refused is tried again on each other instance, since nothing was sent. Whatever happens
    after a container took the request is answered and not repeated here: the container may have done its work.
    `report` is told once for each instance that was asked. `stored` is sent in place of the request's body.
    """
    terms = terms or real_time(settings)
    given = _given_in(request.headers)
    asked = given.asked
    body = request.body if request.stream is None else HopBody(request.stream, _length(request))
    size = len(stored or body) if isinstance(body, bytes) else body.length or 0
    _check(routes, endpoint, size, asked, settings, terms)
    session = asked.get(_SESSION_ID, "")
    session = "" if session == NEW else session
    choice = _Choice(routes, endpoint, asked.get(_TARGET_VARIANT, ""), session, settings, chance)
    begun = now()
    refused: StepFailed | None = None
    while True:
        chosen = choice.enter()
        if chosen is None:
            raise answers.unavailable(settings, endpoint, refused)
        variant, instance = chosen
        trace: Trace | None = None
        failed: StepFailed | None = None
        try:
            answer = partial(_answer, choice.sessions, variant.name, instance.id)
            terms = of_variant(terms, variant)
            if size > terms.request_bytes:
                raise answers.oversize_serverless(endpoint, terms.request_bytes)
            opened = None
            if terms.streamed or terms.asynchronous:
                opened = partial(_opened, choice.sessions, variant.name, instance.id)
            reply, trace = yield from _through(instance, endpoint, given, body, stored, terms, begun, now, opened)
            return answer(reply)
        except StepFailed as error:
            failed, trace = error, error.trace
            if error.kind != "refused" or error.number > 0:
                raise answers.step_failed(settings, terms, endpoint, error) from error
            # Nothing was sent: another instance may take the request.
            refused = error
            choice.tried |= {instance}
        finally:
            instance.leave()
            if report is not None and trace is not None:
                report(Outcome(endpoint, variant.name, instance.id, trace, now() - begun, failed))


def takes_stream(routes: Routes, endpoint: str, request: Request) -> bool:
    """Whether the body of this request can be passed on while it comes: it is large, and there is who takes it."""
    if _length(request) <= LARGE:
        return False
    routing = routes.get(endpoint)
    return routing is not None and any(variant.instances for variant in routing.variants)


def _length(request: Request) -> int:
    """What the caller says of its body's length; 0 where it says nothing."""
    return int(request.header(b"content-length") or 0)


@dataclass(frozen=True, slots=True)
class _Given:
    """What a request's headers say. A client says the same again and again, so that one of these serves many."""

    asked: dict[bytes, str]
    """Those that are for the platform: what of the request decides where it goes. The first of each name."""
    forwarded: Headers
    """What of them a container sees; what the caller left out stays out."""
    span: Span | None
    """The trace that the caller names."""


def _given_in(headers: Headers) -> _Given:
    key = tuple(headers)
    known = _givens.get(key)
    if known is None:
        known = _read(headers)
        if len(headers) <= _REMEMBERED_HEADERS and sum(len(value) for _, value in headers) <= _REMEMBERED_BYTES:
            if len(_givens) >= _REMEMBERED:
                _givens.clear()
            _givens[key] = known
    return known


def _read(headers: Headers) -> _Given:
    asked: dict[bytes, str] = {}
    for name, value in headers:
        if name.startswith(_PLATFORM) and name not in asked:
            asked[name] = value.decode("latin-1")
    forwarded = [(_FORWARDED[name], value) for name, value in headers if name in _FORWARDED]
    return _Given(asked, forwarded, Span.given(headers))


def _check(routes: Routes, endpoint: str, size: int, asked: dict[bytes, str], settings: Settings, terms: Terms) -> None:
    routing = routes.get(endpoint)
    if routing is not None and (routing.asynchronous > 0) != terms.asynchronous:
        raise answers.wrong_kind(endpoint, asynchronous=routing.asynchronous > 0)
    if size > terms.request_bytes:
        raise answers.oversize(settings, endpoint)
    for name, value in asked.items():
        if name == _CUSTOM_ATTRIBUTES and len(value) > settings.profile.custom_attributes.value:
            raise answers.too_long("customAttributes", settings.profile.custom_attributes.value)
        # Whether a container or a model may be named is a matter of the instance's model, and decided there.
        if name in answers.NOT_SUPPORTED and name not in DECIDED_LATER:
            raise answers.not_supported(endpoint, name)


def _through(
    instance: Instance,
    endpoint: str,
    given: _Given,
    body: bytes | HopBody,
    stored: StoredBody | None,
    terms: Terms,
    begun: float,
    now: Callable[[], float],
    opened: Opened | None,
) -> Chain:
    """Through the containers of one instance, or through the one that a direct request names."""
    containers = _containers(instance, endpoint, given.asked.get(_TARGET_CONTAINER, ""))
    target = given.asked.get(_TARGET_MODEL, "")
    if any(container.models for container in containers):
        _check_target_model(target)
    elif target:
        raise answers.not_supported(endpoint, _TARGET_MODEL)
    return chain(
        [step_to(container, target) for container in containers],
        given.forwarded,
        body,
        stored=stored,
        deadline=begun + terms.timeout,
        hop_limit=terms.hop_bytes,
        reply_limit=terms.reply_bytes,
        # A single container sees what the platform would send it, and nothing else, unless the caller has a trace.
        span=given.span or (Span.new() if len(containers) > 1 else None),
        opened=opened,
        now=now,
    )


def _containers(instance: Instance, endpoint: str, target: str) -> tuple[Container, ...]:
    """The containers that the request goes through: all in series, or the one that TargetContainerHostname names."""
    if not instance.direct:
        if target:
            raise answers.not_supported(endpoint, _TARGET_CONTAINER)
        return instance.containers
    if not target:
        raise answers.missing_target_container(endpoint, instance.containers)
    found = tuple(container for container in instance.containers if container.name == target)
    if not found:
        raise answers.no_such_container(endpoint, target, instance.containers)
    return found


def _check_target_model(target: str) -> None:
    """A TargetModel names one object below the prefix: no way leads out of it."""
    if not target:
        raise answers.missing_target_model()
    parts = target.removeprefix("/").split("/")
    if len(target) > _TARGET_MODEL_LIMIT or any(part in ("", ".", "..") for part in parts) or not target.isprintable():
        raise answers.no_target_model(target)


@lru_cache(1024)
def _plain_step(container: Container) -> Step:
    """Of a single-model container: the same for every request."""
    return Step(container.name, container.host, container.port)


def step_to(container: Container, target: str) -> Step:
    """How a chain asks this container; `target` is a TargetModel, for one that has many models."""
    if container.models is None:
        return _plain_step(container)
    exchange = partial(target_model.exchange, container.models, target.removeprefix("/"))
    return Step(container.name, container.host, container.port, exchange=exchange, answers_whole=True)


def _answer(sessions: Sessions | None, variant: str, instance: str, reply: Reply) -> Response:
    if sessions is not None:
        sessions.heard(reply.headers, instance)
    return Response(reply.status, _returned(reply.headers, variant), reply.body)


def _opened(sessions: Sessions | None, variant: str, instance: str, reply: StreamedReply) -> Response:
    """The head of the answer to whoever takes the reply as it comes."""
    return _answer(sessions, variant, instance, http_reply.Reply(reply.status, reply.headers))


def _returned(headers: Headers, variant: str) -> Headers:
    """What of the container's headers the caller sees, and the variant that answered."""
    kept = [(_RETURNED[name], value) for name, value in headers if name in _RETURNED]
    return [*kept, (_INVOKED_VARIANT, variant.encode())]
