"""A request through containers in series, without I/O: what each is sent, what is kept of it, and where it ended.

`chain` is a generator: it yields a `Call`, is sent the `Reply` (or thrown the HttpError), and returns the last reply
with a `Trace`, or raises `StepFailed`. Whoever drives it does the sending: `send.drive`, or a test with a list.

    body and Content-Type of the caller -> first container
    body and Content-Type of each reply -> next container, byte for byte, exactly as given; none where none came
    Accept of the caller                -> last container alone
    first status that is not 2xx        -> the end

A large body goes on while it arrives (`hop_body`), so that steps run beside each other. One that breaks off is the
failure of the step that sent it, however far its first bytes have come.

Source: developer guide, "Host models along with pre-processing logic as serial inference pipeline". What is not
written there is decided in docs/decisions/serial-inference-pipelines.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from seaproof.contract.http import ACCEPT, CONTENT_TYPE, INVOCATIONS, is_success
from seaproof.errors import HttpError, RequestError, SeaproofError
from seaproof.http.message import Headers, Response
from seaproof.http.reply import StreamedReply
from seaproof.invocations.hop_body import HEAD_BYTES, LARGE, HopBody
from seaproof.invocations.stored_body import StoredBody
from seaproof.invocations.tracing import Span

__all__ = ["HEAD_BYTES", "Call", "Chain", "Reply", "Step", "StepFailed", "StepTrace", "Trace", "Wait", "chain"]

_CONTENT_TYPE = CONTENT_TYPE.lower().encode()
_ACCEPT = ACCEPT.lower().encode()
_CONTENT_LENGTH = b"Content-Length"


@dataclass(slots=True)
class Call:
    """One request to one container."""

    host: str
    port: int
    headers: Headers
    body: bytes | HopBody
    timeout: float
    """Seconds for all of it."""
    max_body: int
    """Bytes that the answer may have."""
    method: str = "POST"
    target: str = INVOCATIONS
    stream_over: int | None = None
    """A 2xx reply of more bytes may be answered as a StreamedReply (see `Client.ask`); None: only a whole one."""
    opened: Callable[[Call, StreamedReply], Response] | None = None
    """Where the caller takes a streamed reply as it comes: makes his answer of this call and it. What drives the call
    passes that on, and comes back with the reply, without a body, when it has ended, or with the error that did so."""
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


Opened = Callable[[StreamedReply], Response]
"""Makes the head of the caller's answer out of that of the last container's."""


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
    answers_whole: bool = False
    """Whether its reply is taken whole before the next step begins: what the exchange holds for the call (a model that
    must not be unloaded) is given back with it."""


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
    beside: float = 0.0
    """Seconds in which a step ran beside the one before it, whose reply was still coming."""

    @property
    def seconds(self) -> float:
        """All steps together."""
        return sum(step.total for step in self.steps) - self.beside


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
        begun: Reply | None = None,
    ) -> None:
        self.trace = trace
        self.number = number
        """Of the step, counted from 0."""
        self.step = step
        self.kind = error.kind if error else "status"
        """`status`, `refused`, `timeout`, `closed`, `malformed` or `oversize`."""
        body = call.stored or call.body
        self.sent = body.head if isinstance(body, HopBody) else body[:HEAD_BYTES]
        """The first bytes of what the step was sent; type and size are in the trace."""
        self.timeout = call.timeout
        """Seconds that the step was given."""
        self.max_body = call.max_body
        self.reply = reply
        """Whole, and not 2xx; None where there is an error."""
        self.error = error
        self.begun = begun
        """With an error: what had come of a reply before it broke off; its size is in the trace."""
        what = error.what if error else f"the reply has status {reply.status if reply else 0}"
        super().__init__(f"step {number + 1}, {step.name}: {what}", where=f"{step.host}:{step.port}")

    @property
    def at(self) -> StepTrace:
        """The trace of the step itself."""
        return self.trace.steps[self.number]


@dataclass(frozen=True, slots=True)
class _Begun:
    """What there is of a reply that broke off."""

    status: int
    headers: Headers
    body: bytes
    connect_seconds: float = 0.0
    first_byte_seconds: float = 0.0


Chain = Generator[Call | Wait, Any, tuple[Reply, Trace]]


def chain(
    steps: Sequence[Step],
    headers: Headers,
    body: bytes | HopBody,
    *,
    stored: StoredBody | None = None,
    deadline: float,
    hop_limit: int,
    reply_limit: int,
    span: Span | None = None,
    keep_replies: bool = False,
    opened: Opened | None = None,
    opened_over: int = 0,
    now: Callable[[], float] = time.monotonic,
) -> Chain:
    """The calls of one request through the steps; see the module.

    `headers` are those that the containers may see. `deadline` is on the clock `now`; limits are the bytes of a reply
    between steps and of the last one. `span` is told to each container as a child of its own. StepFailed where a
    step has no answer, one that is not 2xx, one over its limit, or one that breaks off; RequestError where the body
    of the caller does. `opened` is for the last call, see Call, and for replies of more than `opened_over` bytes;
    `stored` is for the first.
    """
    trace = Trace([], [], span.trace_id if span else "")
    way, last, sent_type = _Way(steps, trace, now), len(steps) - 1, _type_of(headers)
    try:
        for number, step in enumerate(steps):
            sent = _headers(headers, step, span, is_last=number == last)
            if not isinstance(body, bytes):
                sent = way.passes(number, body, sent)
            begun = now()
            limit = reply_limit if number == last else hop_limit
            call = Call(step.host, step.port, sent, body, max(0.0, deadline - begun), limit, target=step.target)
            if number == last and opened is not None:
                way.head, call.opened, call.stream_over = opened, way.open, opened_over
            elif not keep_replies and _may_stream(steps, number):
                call.stream_over = LARGE
            if number == 0:
                call.stored = stored
            entry = way.begin(StepTrace(step.name, sent_type, _size(call)), begun)
            try:
                reply = (yield call) if step.exchange is None else (yield from step.exchange(call))
            except HttpError as error:
                entry.total = now() - begun
                raise way.failure(number, call, error=error) from error
            entry.total = now() - begun
            _note(entry, reply)
            if keep_replies:
                trace.replies.append(reply)
            if not is_success(reply.status):
                raise way.failure(number, call, reply=reply)
            if number < last:
                body = way.go_on(call, reply) if isinstance(reply, StreamedReply) else reply.body
                headers = _next_headers(headers, reply.headers)
                sent_type = entry.reply_type
        way.check(last, call)
        return reply, trace
    finally:
        way.close()


class _Way:
    """How far a request has come, and the bodies that are on their way with it."""

    __slots__ = ("begins", "begun", "bodies", "head", "now", "steps", "trace")

    def __init__(self, steps: Sequence[Step], trace: Trace, now: Callable[[], float]) -> None:
        self.steps, self.trace, self.now = steps, trace, now
        self.head: Opened | None = None
        """Makes the head of the caller's answer, where he takes it as it comes."""
        self.begins: list[float] = []
        """When each step was sent its request."""
        self.bodies: dict[int, HopBody] = {}
        """What is passed on as it comes, by the number of the step that it is sent to: 0 has the caller's body, and
        the number after the last step what goes to the caller."""
        self.begun: dict[int, tuple[Call, StreamedReply]] = {}
        """By the same number: the call that it answers, of whose body the first bytes are kept, and its head."""

    def passes(self, to: int, body: HopBody, headers: Headers) -> Headers:
        """The headers for a step that is sent a body while it comes: without a length it goes out chunked."""
        self.bodies[to] = body
        return headers if body.length is None else [*headers, (_CONTENT_LENGTH, b"%d" % body.length)]

    def begin(self, entry: StepTrace, now: float) -> StepTrace:
        """The next step."""
        self.trace.steps.append(entry)
        self.begins.append(now)
        return entry

    def go_on(self, call: Call, reply: StreamedReply) -> HopBody:
        """The body of a reply, for whoever takes it while it comes."""
        if isinstance(call.body, bytes):
            call = replace(call, body=call.body[:HEAD_BYTES])
        to = len(self.begins)
        self.begun[to] = call, reply
        body = self.bodies[to] = HopBody(reply, reply.length, now=self.now)
        return body

    def open(self, call: Call, reply: StreamedReply) -> Response:
        """The caller's answer to what the last step has begun to reply."""
        assert self.head is not None
        _note(self.trace.steps[-1], reply)
        answer = self.head(reply)
        return Response(answer.status, answer.headers, self.go_on(call, reply))

    def failure(
        self, number: int, call: Call, *, reply: Reply | None = None, error: HttpError | None = None
    ) -> Exception:
        """What ends the request where this step has met an error or given such a reply: it may not be its own."""
        self._settle()
        begun: Reply | None = None
        for to, body in sorted(self.bodies.items()):
            # Where the time is over, what is slow is the first that others wait for.
            if body.error is None and not (body.waits and error is not None and error.kind == "timeout"):
                continue
            if to == 0:
                if isinstance(body.error, RequestError):
                    return body.error
                return RequestError(408, "the body of the request did not arrive in time")
            number, error = to - 1, body.error if isinstance(body.error, HttpError) else error
            call, head = self.begun[to]
            reply, begun = None, _Begun(head.status, head.headers, body.head)
            break
        return StepFailed(self.trace, number, self.steps[number], call, reply=reply, error=error, begun=begun)

    def check(self, last: int, call: Call) -> None:
        """No answer counts that was made of a body which broke off."""
        if not self.bodies:
            return
        self._settle()
        if any(body.error for body in self.bodies.values()):
            raise self.failure(last, call)

    def _settle(self) -> None:
        """Note of each body what has come of it until now."""
        steps, now = self.trace.steps, self.now()
        for to, body in self.bodies.items():
            if to < len(steps):
                steps[to].sent_bytes = body.size
            if to:
                before = steps[to - 1]
                before.reply_bytes = body.size
                before.total = max(before.total, (body.ended_at or now) - self.begins[to - 1])
        ends = [begun + step.total for begun, step in zip(self.begins, steps, strict=True)]
        beside = [
            max(0.0, min(end, after) - begun)
            for end, after, begun in zip(ends[:-1], ends[1:], self.begins[1:], strict=True)
        ]
        self.trace.beside = sum(beside)

    def close(self) -> None:
        """Nothing is passed on any more. What the caller sends is the server's to end."""
        if not self.bodies:
            return
        self._settle()
        for to, body in self.bodies.items():
            if to:
                body.close()


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


def _may_stream(steps: Sequence[Step], number: int) -> bool:
    """Whether the reply of this step can be sent to the next one while it comes."""
    return number + 1 < len(steps) and not steps[number].answers_whole


def _size(call: Call) -> int:
    """Bytes that are sent, as far as that is known before."""
    body = call.stored or call.body
    return 0 if isinstance(body, HopBody) else len(body)


def _type_of(headers: Headers) -> str:
    for name, value in headers:
        if name.lower() == _CONTENT_TYPE:
            return value.decode("latin-1")
    return ""


def _note(entry: StepTrace, reply: Reply | StreamedReply) -> None:
    entry.status = reply.status
    entry.reply_type = _type_of(reply.headers)
    if not isinstance(reply, StreamedReply):
        entry.reply_bytes = len(reply.body)
    entry.connect = reply.connect_seconds
    entry.first_byte = reply.first_byte_seconds
