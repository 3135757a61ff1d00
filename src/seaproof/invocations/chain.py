"""A request through containers in series, without I/O: what each is sent, what is kept of it, and where it ended.

`chain` is a generator: it yields a `Call`, is sent the `Reply` (or thrown the HttpError), and returns the last reply
with a `Trace`, or raises `StepFailed`. Whoever drives it does the sending: `send.drive`, or a test with a list.

    body and Content-Type of the caller -> first container
    body and Content-Type of each reply -> next container, byte for byte, exactly as given; none where none came
    Accept of the caller                -> last container alone
    first status that is not 2xx        -> the end

Source: developer guide, "Host models along with pre-processing logic as serial inference pipeline". What is not
written there is decided in docs/decisions/serial-inference-pipelines.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from seaproof.contract.http import ACCEPT, CONTENT_TYPE, INVOCATIONS, is_success
from seaproof.errors import HttpError, SeaproofError
from seaproof.http.message import Headers, Response
from seaproof.invocations.stored_body import StoredBody
from seaproof.invocations.tracing import Span

HEAD_BYTES = 512
"""Bytes of a body that are kept of a step that failed, to be shown."""

_CONTENT_TYPE = CONTENT_TYPE.lower().encode()
_ACCEPT = ACCEPT.lower().encode()


@dataclass(slots=True)
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
    opened: Opened | None = None
    """Where the caller takes the reply as it comes: makes the head of his answer out of the head of a 2xx reply. What
    drives the call passes the body on, and comes back with the reply, without a body, when it has ended."""
    stored: StoredBody | None = None
    """What is sent in place of `body`, where it lies in storage."""


class Reply(Protocol):
    """What a container answered; header names in lower case, times as `http.client` measures them."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def body(self) -> bytes: ...
    @property
    def connect_seconds(self) -> float: ...
    @property
    def first_byte_seconds(self) -> float: ...


Opened = Callable[[Reply], Response]


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until the future is done, at most so many seconds; whoever yields it looks whether it is."""

    future: Future[Any]
    seconds: float


# What is sent in is the Reply to a Call; nothing for a Wait.
Exchange = Generator[Call | Wait, Any, Reply]


@dataclass(frozen=True, slots=True)
class Step:
    """One container of the series, and how it is asked."""

    name: str
    """As errors name it: `primary`, `container-1`, or its hostname."""
    host: str
    port: int
    target: str = INVOCATIONS
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """More headers for this container alone."""
    exchange: Callable[[Call], Exchange] | None = None
    """In place of one call and its reply: more calls before or after it, such as the load of a model. It is given the
    call, and what it returns counts as the container's reply."""


@dataclass(slots=True)
class StepTrace:
    """What became of one step. Sizes in bytes, times in seconds; types "" where there was no Content-Type."""

    name: str
    sent_type: str
    sent_bytes: int
    status: int = 0
    """0 where no usable answer came."""
    reply_type: str = ""
    reply_bytes: int = 0
    connect: float = 0.0
    """0.0 where a connection was used again."""
    first_byte: float = 0.0
    total: float = 0.0


@dataclass(slots=True)
class Trace:
    """The steps that were begun, in order."""

    steps: list[StepTrace] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    """Every reply with its body, where the chain was told to keep them."""
    trace_id: str = ""
    """Of the W3C trace that the containers were told of; "" where they were told of none."""

    @property
    def seconds(self) -> float:
        """All steps together."""
        return sum(step.total for step in self.steps)


class StepFailed(SeaproofError):
    """A step ended the chain. `kind` is `status` (the reply is not 2xx), or that of the HttpError."""

    def __init__(
        self,
        trace: Trace,
        number: int,
        step: Step,
        call: Call,
        *,
        reply: Reply | None = None,
        error: HttpError | None = None,
    ) -> None:
        self.trace = trace
        self.number = number
        """Of the step, counted from 0."""
        self.step = step
        self.kind = error.kind if error else "status"
        """`status`, `refused`, `timeout`, `closed`, `malformed` or `oversize`."""
        self.sent = (call.stored or call.body)[:HEAD_BYTES]
        """The first bytes of what the step was sent; type and size are in the trace."""
        self.timeout = call.timeout
        """Seconds that the step was given."""
        self.max_body = call.max_body
        self.reply = reply
        self.error = error
        what = error.what if error else f"the reply has status {reply.status if reply else 0}"
        super().__init__(f"step {number + 1}, {step.name}: {what}", where=f"{step.host}:{step.port}")

    @property
    def at(self) -> StepTrace:
        """The trace of the step itself."""
        return self.trace.steps[self.number]


Chain = Generator[Call | Wait, Any, tuple[Reply, Trace]]


def chain(
    steps: Sequence[Step],
    headers: Headers,
    body: bytes,
    *,
    stored: StoredBody | None = None,
    deadline: float,
    hop_limit: int,
    reply_limit: int,
    span: Span | None = None,
    keep_replies: bool = False,
    opened: Opened | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Chain:
    """The calls of one request through the steps; see the module.

    `headers` are those that the containers may see. `deadline` is on the clock `now`; limits are the bytes of a reply
    between steps and of the last one. `span` is told to each container as a child of its own. StepFailed where a
    step has no answer, one that is not 2xx, or one over its limit. `opened` is for the last call and `stored` for the
    first; see Call.
    """
    trace = Trace(trace_id=span.trace_id if span else "")
    last, sent_type = len(steps) - 1, _type_of(headers)
    for number, step in enumerate(steps):
        sent = _headers(headers, step, span, is_last=number == last)
        limit = reply_limit if number == last else hop_limit
        begun = now()
        call = Call(step.host, step.port, sent, body, max(0.0, deadline - begun), limit, target=step.target)
        if number == last:
            call.opened = opened
        if number == 0:
            call.stored = stored
        entry = StepTrace(step.name, sent_type, len(body if call.stored is None else call.stored))
        trace.steps.append(entry)
        try:
            reply = (yield call) if step.exchange is None else (yield from step.exchange(call))
        except HttpError as error:
            entry.total = now() - begun
            raise StepFailed(trace, number, step, call, error=error) from error
        entry.total = now() - begun
        _note(entry, reply)
        if keep_replies:
            trace.replies.append(reply)
        if not is_success(reply.status):
            raise StepFailed(trace, number, step, call, reply=reply)
        if number < last:
            headers, body = _next_headers(headers, reply.headers), reply.body
            sent_type = entry.reply_type
    return reply, trace


def _headers(headers: Headers, step: Step, span: Span | None, *, is_last: bool) -> Headers:
    """What one container is sent of them."""
    if is_last and not step.headers and span is None:
        return headers
    kept = headers if is_last else [pair for pair in headers if pair[0].lower() != _ACCEPT]
    return [*kept, *step.headers, *(span.child() if span else ())]


def _next_headers(headers: Headers, replied: Headers) -> Headers:
    """For the next container: the Content-Type of the last reply instead of the one before."""
    kept = [(name, value) for name, value in headers if name.lower() != _CONTENT_TYPE]
    return [(CONTENT_TYPE.encode(), value) for name, value in replied if name == _CONTENT_TYPE] + kept


def _type_of(headers: Headers) -> str:
    for name, value in headers:
        if name.lower() == _CONTENT_TYPE:
            return value.decode("latin-1")
    return ""


def _note(entry: StepTrace, reply: Reply) -> None:
    entry.status = reply.status
    entry.reply_type = _type_of(reply.headers)
    entry.reply_bytes = len(reply.body)
    entry.connect = reply.connect_seconds
    entry.first_byte = reply.first_byte_seconds
