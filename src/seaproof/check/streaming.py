"""Streamed answers: parts that leave the container as they are made."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from seaproof.check.check import RUN, Evidence, Finding, NotApplicable, Unchecked, check, fail
from seaproof.check.run import Run
from seaproof.check.startup import running
from seaproof.check.subject import Subject
from seaproof.check.traffic import answered, known_payload
from seaproof.contract.http import INVOCATIONS, parse_media_type
from seaproof.errors import HttpError
from seaproof.http.client import Client
from seaproof.http.message import Headers

STREAMED = ("text/event-stream", "application/x-ndjson", "application/jsonlines", "application/jsonl")
_NOTICED = 0.3
"""Seconds; an answer that is whole sooner needs no stream."""
_MOST = 64 * 1024 * 1024


@dataclass(frozen=True)
class Parts:
    """How one answer came."""

    content_type: str
    chunked: bool
    times: tuple[float, ...]
    """Seconds since the request, of each part."""
    sizes: tuple[int, ...]


@check(
    "SP051",
    "A streamed answer leaves in parts",
    row=51,
    symptom="the streaming client gets one lump at the end, or broken JSON",
    platform="passes chunks on as they come, cut anywhere: a part is no line and no JSON document",
    fix="return StreamingResponse(parts(), ...)        # and no buffering proxy: proxy_buffering off;",
    stage=RUN,
    roles=("realtime",),
    mark="D",
    sources="InvokeEndpointWithResponseStream",
)
def answer_leaves_in_parts(subject: Subject) -> Iterator[Finding]:
    reply = answered(subject)
    kind = parse_media_type(reply.header(b"content-type")).essence
    if kind not in STREAMED and reply.header(b"transfer-encoding") != "chunked":
        raise NotApplicable("its answers are not streamed")
    run, known = running(subject), known_payload(subject)
    headers: Headers = [(b"content-type", known.content_type.encode())]
    if known.accept:
        headers.append((b"accept", known.accept.encode()))
    try:
        parts = subject.lab.sender.run(
            lambda client: _stream(client, run, headers, known.body, subject.options.invocation_seconds)
        )
    except HttpError as error:
        raise Unchecked(f"the stream broke off: {error.what}", blocks=False) from error
    if not parts.times or parts.times[-1] < _NOTICED:
        return
    told = Evidence(
        "parts", f"{len(parts.sizes)} parts; first after {parts.times[0]:.2f} s, last after {parts.times[-1]:.2f} s"
    )
    if parts.times[0] > 0.9 * parts.times[-1]:
        yield fail(f"a {kind or 'chunked'} answer comes in one lump, at the end", told)


async def _stream(client: Client, run: Run, headers: Headers, body: bytes, timeout: float) -> Parts:
    begun = time.monotonic()
    times, sizes = [], []
    reply = await client.stream(
        run.handle.host or "", run.handle.port or 0, "POST", INVOCATIONS, headers, body, timeout=timeout, max_body=_MOST
    )
    async with reply:
        async for part in reply:
            times.append(time.monotonic() - begun)
            sizes.append(len(part))
            if times[-1] > timeout:
                break
    chunked = reply.header(b"transfer-encoding") == "chunked"
    return Parts(reply.header(b"content-type"), chunked, tuple(times), tuple(sizes))
