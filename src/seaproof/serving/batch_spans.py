"""Spans of requests that are predicted together: one for each request, and one for each call that they share.

That of a request is a child of its caller's, as where it is predicted alone. A call for many has no one parent: its
span begins a trace of its own, linked to those of the requests, and is the parent of those that predict_fn makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from seaproof.http.message import Request
from seaproof.serving.tracing import Answer, Tracer

_NO_SPAN = nullcontext()


class BatchSpans:
    """The spans of one batch after the other; one thread at a time uses it."""

    def __init__(self) -> None:
        self._tracer = Tracer()
        self._open: dict[int, Any] = {}
        """By the identity of the request, which lives as long as its batch."""

    def begin(self, requests: Sequence[Request]) -> bool:
        """Begin a span for each; False, and nothing is done, where nobody said where spans go."""
        if self._tracer.is_idle():
            return False
        self._open = {id(request): self._tracer.begin(request) for request in requests}
        return True

    def of(self, request: Request) -> AbstractContextManager[Any]:
        """In which the span of the request is the parent of the author's."""
        span = self._open.get(id(request))
        used: AbstractContextManager[Any] = _NO_SPAN if span is None else self._tracer.use(span)
        return used

    def joined(self, requests: Sequence[Request], rows: int) -> AbstractContextManager[Any]:
        """In which the author predicts for all of these requests; what is raised there is recorded."""
        spans = [span for request in requests if (span := self._open.get(id(request))) is not None]
        return self._tracer.joined(spans, rows) if spans else _NO_SPAN

    def fail(self, request: Request, error: BaseException) -> None:
        """End the span of a request that an exception answers."""
        span = self._open.pop(id(request), None)
        if span is not None:
            self._tracer.fail(span, error)

    def finish(self, request: Request, answer: Answer) -> Answer:
        """End it with its answer, unless it has failed; returns what to send."""
        span = self._open.pop(id(request), None)
        return answer if span is None else self._tracer.finish(span, answer)

    def close(self) -> None:
        """The batch is over: end the spans of those whose callers have left."""
        for span in self._open.values():
            span.end()
        self._open = {}
