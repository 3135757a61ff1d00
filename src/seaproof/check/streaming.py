"""Streamed answers: parts that leave the container as they are made."""

from __future__ import annotations

import json
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

    status: int
    content_type: str
    chunked: bool
    times: tuple[float, ...]
    """Seconds since the request, of each part."""
    sizes: tuple[int, ...]
    body: bytes


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
    limit="the client: one that takes a part for a line is wrong, whatever the container does",
)
def answer_leaves_in_parts(subject: Subject) -> Iterator[Finding]:
    reply = answered(subject)
    kind = parse_media_type(reply.header(b"content-type")).essence
    if kind not in STREAMED and reply.header(b"transfer-encoding") != "chunked":
        raise NotApplicable("its answers are not streamed")
    try:
        parts = stream_payload(subject, subject.options.stream_seconds)
    except HttpError as error:
        raise Unchecked(f"the stream broke off: {error.what}", blocks=False) from error
    told = Evidence(
        "parts", f"{len(parts.sizes)} parts; first after {parts.times[0]:.2f} s, last after {parts.times[-1]:.2f} s"
    )
    if parts.times[-1] >= _NOTICED and parts.times[0] > 0.9 * parts.times[-1]:
        yield fail(f"a {kind or 'chunked'} answer comes in one lump, at the end", told)
    if parts.times[-1] >= _NOTICED and parts.times[-1] > subject.options.stream_seconds:
        yield fail(f"a streamed answer takes more than {subject.options.stream_seconds:g} s", told)
    if problem := undivided(kind, parts.body):
        shown = parts.body[:300].decode("utf-8", "replace")
        yield fail(f"{problem}: no client can put it together, as parts are cut anywhere", Evidence("reply", shown))


def undivided(kind: str, body: bytes) -> str:
    """Why a streamed body cannot be taken apart where parts are cut at random; empty where it can."""
    if kind in ("application/x-ndjson", "application/jsonlines", "application/jsonl"):
        for number, line in enumerate(body.split(b"\n"), 1):
            if line.strip() and not _is_json(line):
                return f"line {number} of the {kind} answer is no JSON document of its own"
    elif kind == "text/event-stream" and body.strip():
        if not body.replace(b"\r", b"").endswith(b"\n\n"):
            return "the last event of the answer has no empty line after it"
    elif kind == "application/json" and body.strip() and not _is_json(body) and _documents(body) > 1:
        return "the answer is several JSON documents with nothing between them"
    return ""


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _documents(body: bytes) -> int:
    """How many JSON documents stand one after another, nothing but blanks between; 0 where it is something else."""
    text, at, count, decoder = body.decode("utf-8", "replace").strip(), 0, 0, json.JSONDecoder()
    while at < len(text):
        try:
            at = decoder.raw_decode(text, at)[1]
        except ValueError:
            return 0
        if text[at : at + 1] == "\n":
            return 0  # they stand in lines
        count += 1
    return count


def stream_payload(subject: Subject, seconds: float) -> Parts:
    """Send the payload and take the answer as it comes, for so many seconds at most. HttpError where none comes."""
    run, known = running(subject), known_payload(subject)
    headers: Headers = [(b"content-type", known.content_type.encode())]
    if known.accept:
        headers.append((b"accept", known.accept.encode()))
    first = subject.options.invocation_seconds
    return subject.lab.sender.run(lambda client: _stream(client, run, headers, known.body, first, seconds))


async def _stream(client: Client, run: Run, headers: Headers, body: bytes, first: float, seconds: float) -> Parts:
    """`first` is how long a part may take; parts are taken for `seconds`."""
    begun = time.monotonic()
    times, pieces = [], []
    host, port = run.handle.host or "", run.handle.port or 0
    reply = await client.stream(host, port, "POST", INVOCATIONS, headers, body, timeout=first, max_body=_MOST)
    chunked = reply.header(b"transfer-encoding") == "chunked"
    async with reply:
        async for part in reply:
            times.append(time.monotonic() - begun)
            pieces.append(part)
            if times[-1] > (seconds if chunked else first):
                break
    sizes = tuple(len(piece) for piece in pieces)
    whole = time.monotonic() - begun
    return Parts(
        reply.status, reply.header(b"content-type"), chunked, tuple(times) or (whole,), sizes, b"".join(pieces)
    )
