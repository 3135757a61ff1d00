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
from dataclasses import dataclass, field
from typing import Protocol

from seaproof.contract.http import (
    CONTENT_TYPE,
    CUSTOM_ATTRIBUTES,
    FORWARDED_TO_CONTAINER,
    INVOCATIONS,
    INVOKED_VARIANT,
    RETURNED_TO_CALLER,
    TARGET_VARIANT,
    is_success,
)
from seaproof.errors import HttpError
from seaproof.http.message import Headers, Request, Response
from seaproof.invocations import answers
from seaproof.invocations.routing import Instance, Routes, Variant
from seaproof.settings import Settings

_FORWARDED = {name.lower().encode(): name.encode() for name in FORWARDED_TO_CONTAINER}
_RETURNED = {name.lower().encode(): name.encode() for name in RETURNED_TO_CALLER}
_INVOKED_VARIANT = INVOKED_VARIANT.encode()
_TARGET_VARIANT = TARGET_VARIANT.lower().encode()
_CUSTOM_ATTRIBUTES = CUSTOM_ATTRIBUTES.lower().encode()
_CONTENT_TYPE = CONTENT_TYPE.lower().encode()


@dataclass(frozen=True, slots=True)
class Call:
    """One request to one container."""

    host: str
    port: int
    headers: Headers
    body: bytes
    timeout: float
    """Seconds for all of it."""
    max_body: int
    """Bytes that the answer may have."""
    method: str = "POST"
    target: str = INVOCATIONS


class Reply(Protocol):
    """What a container answered; header names in lower case."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def body(self) -> bytes: ...


Steps = Generator[Call, Reply, Response]


class _Refused(Exception):
    """Nothing listens at the first container: nothing was sent, so another instance may take the request."""

    def __init__(self, cause: HttpError) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass(slots=True)
class _Choice:
    """Chooses instances for one request, none twice."""

    routes: Routes
    endpoint: str
    target: str
    settings: Settings
    chance: random.Random
    tried: set[Instance] = field(default_factory=set)

    def enter(self) -> tuple[Variant, Instance] | None:
        """Choose and enter an instance; None where none is left. ServiceError where nothing fits the request."""
        while True:
            # Read anew each time: an instance that has just been closed is gone from the newest snapshot.
            routing = self.routes.get(self.endpoint)
            if routing is None:
                raise answers.endpoint_not_found(self.settings, self.endpoint)
            variants: Sequence[Variant] = routing.variants
            if self.target:
                variants = [variant for variant in variants if variant.name == self.target]
                if not variants:
                    raise answers.variant_not_found(self.settings, self.endpoint, self.target)
            else:
                variants = [variant for variant in variants if variant.weight > 0]
            found = self._pick(variants)
            if found is None or found[1].enter():
                return found
            self.tried.add(found[1])

    def _pick(self, variants: Sequence[Variant]) -> tuple[Variant, Instance] | None:
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
    chance: random.Random = _CHANCE,
    now: Callable[[], float] = time.monotonic,
) -> Steps:
    """The steps of one InvokeEndpoint; see the module. `request` is the caller's, with header names in lower case.

    A connection that is refused is tried again on each other instance, since nothing was sent. Whatever happens
    after a container took the request is answered and not repeated here: the container may have done its work.
    """
    _check(endpoint, request, settings)
    choice = _Choice(routes, endpoint, request.header(_TARGET_VARIANT), settings, chance)
    deadline = now() + settings.invocation_timeout
    refused: HttpError | None = None
    while True:
        chosen = choice.enter()
        if chosen is None:
            raise answers.unavailable(settings, endpoint, refused)
        variant, instance = chosen
        try:
            return (yield from _through(instance, variant, endpoint, request, settings, deadline, now))
        except _Refused as error:
            refused = error.cause
            choice.tried.add(instance)
        finally:
            instance.leave()


def _check(endpoint: str, request: Request, settings: Settings) -> None:
    if len(request.body) > settings.profile.request_body.value:
        raise answers.oversize(settings, endpoint)
    for name, value in request.headers:
        if name == _CUSTOM_ATTRIBUTES and len(value) > settings.profile.custom_attributes.value:
            raise answers.too_long("customAttributes", settings.profile.custom_attributes.value)
        if name in answers.NOT_SUPPORTED:
            raise answers.not_supported(endpoint, name)


def _through(
    instance: Instance,
    variant: Variant,
    endpoint: str,
    request: Request,
    settings: Settings,
    deadline: float,
    now: Callable[[], float],
) -> Steps:
    """Through the containers of one instance: body and Content-Type of each answer are the next request's."""
    profile = settings.profile
    headers, body = _forwarded(request.headers), request.body
    last = len(instance.containers) - 1
    for number, container in enumerate(instance.containers):
        limit = profile.response_body if number == last else profile.pipeline_hop
        call = Call(container.host, container.port, headers, body, max(0.0, deadline - now()), limit.value)
        try:
            reply = yield call
        except HttpError as error:
            if error.kind == "refused" and number == 0:
                raise _Refused(error) from error
            raise answers.no_answer(settings, endpoint, container.name, error) from error
        if not is_success(reply.status):
            raise answers.model_error(settings, endpoint, container.name, reply.status, reply.body)
        if number < last:
            headers, body = _next_headers(headers, reply.headers), reply.body
    return Response(reply.status, _returned(reply.headers, variant.name), reply.body)


def _forwarded(headers: Headers) -> Headers:
    """What of the caller's headers a container sees; what the caller left out stays out."""
    return [(_FORWARDED[name], value) for name, value in headers if name in _FORWARDED]


def _next_headers(headers: Headers, replied: Headers) -> Headers:
    """For the next container in a series: the Content-Type of the last answer instead of the caller's."""
    kept = [(name, value) for name, value in headers if name.lower() != _CONTENT_TYPE]
    return [(_FORWARDED[name], value) for name, value in replied if name == _CONTENT_TYPE] + kept


def _returned(headers: Headers, variant: str) -> Headers:
    """What of the container's headers the caller sees, and the variant that answered."""
    kept = [(_RETURNED[name], value) for name, value in headers if name in _RETURNED]
    return [*kept, (_INVOKED_VARIANT, variant.encode())]
