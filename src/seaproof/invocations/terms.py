"""What holds for one kind of invocation: how long it may take, and how large its bodies may be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from seaproof.contract.limits import ASYNCHRONOUS, SERVERLESS
from seaproof.invocations.routing import Variant
from seaproof.settings import Settings


@dataclass(frozen=True, slots=True)
class Terms:
    """Times in seconds, sizes in bytes."""

    timeout: float
    """For all containers together, from the request's arrival to the last byte of the answer."""
    timeout_from: str
    """Where that is said, for whoever runs into it."""
    request_bytes: int
    reply_bytes: int
    hop_bytes: int
    """Of a reply between two containers."""
    streamed: bool = False
    asynchronous: bool = False


@lru_cache(8)
def real_time(settings: Settings) -> Terms:
    """Of InvokeEndpoint."""
    profile = settings.profile
    return Terms(
        settings.invocation_timeout,
        "SEAPROOF_INVOCATION_TIMEOUT",
        profile.request_body.value,
        profile.response_body.value,
        profile.pipeline_hop.value,
    )


@lru_cache(8)
def streaming(settings: Settings) -> Terms:
    """Of InvokeEndpointWithResponseStream. A reply that is passed on as it comes has no limit; one that fails has."""
    profile = settings.profile
    return Terms(
        settings.stream_timeout,
        "SEAPROOF_STREAM_TIMEOUT",
        profile.request_body.value,
        profile.response_body.value,
        profile.pipeline_hop.value,
        streamed=True,
    )


def of_variant(terms: Terms, variant: Variant) -> Terms:
    """What holds where this variant answers: a serverless one takes less."""
    if not variant.concurrency:
        return terms
    request, reply = SERVERLESS.request_body.value, SERVERLESS.response_body.value
    return replace(terms, request_bytes=min(terms.request_bytes, request), reply_bytes=min(terms.reply_bytes, reply))


def asynchronous(timeout: float) -> Terms:
    """Of the invocation behind InvokeEndpointAsync, which has a time of its own."""
    limit = ASYNCHRONOUS.value
    return Terms(timeout, "InvocationTimeoutSeconds", limit, limit, limit, asynchronous=True)
