"""Many requests, one predict call: decoded each by itself, predicted together, encoded each by itself.

What one request gets never depends on those that it was joined with. Where a joined call fails, its halves are tried,
down to single requests, so that only the guilty get the error. Where a result has not one entry for each row, the
author's promise does not hold, and nothing is joined any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from seaproof.http.message import Request, Response
from seaproof.serving.bodies import Small, decode_together, encode_together, look
from seaproof.serving.context import Context
from seaproof.serving.joining import join, rows_of, signature, split
from seaproof.serving.metrics import observe_batch
from seaproof.serving.predictor import Parts, Predictor
from seaproof.serving.replies import log

if TYPE_CHECKING:
    from seaproof.serving.batch_spans import BatchSpans

Answer = Response | Parts
_NO_SPAN = nullcontext()


class Ticket(Protocol):
    """What an answer is for: a future, of which only this is looked at here."""

    def done(self) -> bool:
        """Whether nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request that waits for its answer."""

    ticket: Any
    """A `Ticket`; the caller's own, who gets it back with the answer."""
    request: Request


@dataclass(frozen=True, slots=True)
class _Input:
    """One request as it is predicted."""

    job: Job
    value: Any
    context: Context | None
    rows: int = 0


Answers = list[tuple[Any, Answer]]


class Batcher:
    """Answers many requests with few predict calls. One thread at a time uses it."""

    def __init__(
        self,
        predictor: Predictor,
        max_rows: int,
        alone: Callable[[Request], Answer],
        fail: Callable[[BaseException], Response],
        spans: BatchSpans | None = None,
    ) -> None:
        self._predictor = predictor
        self._max_rows = max_rows
        self._answer_alone = alone
        """The predictor's own `predict`, or what is put around it."""
        self._fail = fail
        """What a request is answered whose functions raised."""
        self._spans = spans
        self._trusted = predictor.row_wise

    def answers(self, jobs: Sequence[Job]) -> Iterator[Answers]:
        """The answers, some at a time, as they are there; those whose ticket is done by then are left out.

        Between two yields there is at most one predict call of so many rows as are allowed, or of one request.
        """
        jobs = [job for job in jobs if not job.ticket.done()]
        now = time.monotonic()
        for job in jobs:
            job.request.taken = now
        if len(jobs) == 1:
            yield [(jobs[0].ticket, self._by_itself(jobs[0].request))]
        elif self._spans and self._spans.begin([job.request for job in jobs]):
            yield from self._in_spans(jobs, self._spans)
        else:
            yield from self._together(jobs)

    def _in_spans(self, jobs: Sequence[Job], spans: BatchSpans) -> Iterator[Answers]:
        requests = {id(job.ticket): job.request for job in jobs}
        try:
            for answers in self._together(jobs):
                yield [(ticket, spans.finish(requests[id(ticket)], answer)) for ticket, answer in answers]
        finally:
            spans.close()

    def _together(self, jobs: Sequence[Job]) -> Iterator[Answers]:
        left: Sequence[Job] = jobs
        if self._trusted and self._predictor.decodes:
            left = yield from self._decoded_together(jobs)
        inputs, failed = self._read(left)
        if failed:
            yield failed
        for group in self._groups(inputs):
            yield from self._predict(group)

    def _by_itself(self, request: Request) -> Answer:
        try:
            return self._answer_alone(request)
        except BaseException as error:
            return self._fail(error)

    # Bodies that are joined before they are decoded.

    def _decoded_together(self, jobs: Sequence[Job]) -> Generator[Answers, None, list[Job]]:
        """Answer what can be decoded in one go; returns those that could not, or whose prediction failed."""
        left: list[Job] = []
        kinds: dict[tuple[str, int], list[tuple[Job, Small]]] = {}
        for job in jobs:
            small = look(job.request)
            if small is None:
                left.append(job)
            else:
                kinds.setdefault(small.kind, []).append((job, small))
        for alike in kinds.values():
            for group in _bounded(alike, [small.rows for _, small in alike], self._max_rows):
                answers = self._predict_bodies(group) if len(group) > 1 and self._trusted else None
                if answers is None:
                    left += [job for job, _ in group]
                else:
                    yield answers
        return left

    def _predict_bodies(self, group: Sequence[tuple[Job, Small]]) -> Answers | None:
        group = [(job, small) for job, small in group if not job.ticket.done()]
        matrix = decode_together([small for _, small in group]) if len(group) > 1 else None
        if matrix is None:
            return None
        counts = [small.rows for _, small in group]
        observe_batch(len(matrix), len(group))
        try:
            with self._joined([job for job, _ in group], len(matrix)):
                result = self._predictor.predict_rows(matrix)
        except BaseException:  # it is raised again where it is one request's own
            return None
        inputs = [_Input(job, None, self._predictor.context(job.request)) for job, _ in group]
        return self._answered(result, counts, inputs)

    # Inputs that are joined after each was decoded.

    def _read(self, jobs: Sequence[Job]) -> tuple[list[_Input], Answers]:
        """Decode each; and the answers to those that cannot be."""
        inputs: list[_Input] = []
        failed: Answers = []
        for job in jobs:
            if job.ticket.done():
                continue
            try:
                with self._span(job):
                    value, context = self._predictor.read(job.request)
                inputs.append(_Input(job, value, context))
            except BaseException as error:
                failed.append((job.ticket, self._failed(job, error)))
        return inputs, failed

    def _groups(self, inputs: Sequence[_Input]) -> Iterator[Sequence[_Input]]:
        """What is predicted in one call each."""
        alike: dict[Hashable, list[_Input]] = {}
        for number, given in enumerate(inputs):
            kind = signature(given.value) if self._trusted else None
            # Its number is nobody else's: it goes alone.
            alike.setdefault(number if kind is None else kind, []).append(given)
        for members in alike.values():
            if len(members) == 1:
                yield members
            else:
                counted = [_Input(m.job, m.value, m.context, rows_of(m.value)) for m in members]
                yield from _bounded(counted, [member.rows for member in counted], self._max_rows)

    def _predict(self, group: Sequence[_Input]) -> Iterator[Answers]:
        group = [given for given in group if not given.job.ticket.done()]
        if len(group) < 2 or not self._trusted:
            for given in group:
                yield [(given.job.ticket, self._alone(given))]
            return
        counts = [given.rows for given in group]
        observe_batch(sum(counts), len(group))
        try:
            with self._joined([given.job for given in group], sum(counts)):
                result = self._predictor.predict_rows(join([given.value for given in group]))
            answers = self._answered(result, counts, group)
        except BaseException:  # it is raised again where it is one request's own
            answers = None
        if answers is not None:
            yield answers
            return
        yield []
        half = len(group) // 2
        yield from self._predict(group[:half])
        yield from self._predict(group[half:])

    def _alone(self, given: _Input) -> Answer:
        try:
            with self._span(given.job):
                prediction = self._predictor.predict_rows(given.value)
                return self._predictor.answer(prediction, given.job.request, given.context)
        except BaseException as error:
            return self._failed(given.job, error)

    # The way out.

    def _answered(self, result: Any, counts: Sequence[int], group: Sequence[_Input]) -> Answers | None:
        """The answer to each; None where the result is not one for each row."""
        predictor = self._predictor
        together: Sequence[Response | None] | None = None
        if predictor.encodes:
            requests = [given.job.request for given in group]
            together = encode_together(result, counts, requests, predictor.default_accept)
        if together is not None and None not in together:
            return [(given.job.ticket, answer) for given, answer in zip(group, together, strict=True) if answer]
        parts = split(result, counts)
        if parts is None:
            self._distrust(result, counts)
            return None
        return [(given.job.ticket, self._encode(part, given)) for given, part in zip(group, parts, strict=True)]

    def _encode(self, prediction: Any, given: _Input) -> Answer:
        try:
            with self._span(given.job):
                return self._predictor.answer(prediction, given.job.request, given.context)
        except BaseException as error:
            return self._failed(given.job, error)

    def _span(self, job: Job) -> AbstractContextManager[Any]:
        """In which the author's functions see the request's own span."""
        return self._spans.of(job.request) if self._spans else _NO_SPAN

    def _joined(self, jobs: Sequence[Job], rows: int) -> AbstractContextManager[Any]:
        return self._spans.joined([job.request for job in jobs], rows) if self._spans else _NO_SPAN

    def _failed(self, job: Job, error: BaseException) -> Response:
        if self._spans:
            self._spans.fail(job.request, error)
        return self._fail(error)

    def _distrust(self, result: Any, counts: Sequence[int]) -> None:
        self._trusted = False
        functions = self._predictor.functions
        advice = f"Take `batch = True` out of {functions.where}, or return one result for each row"
        log.warning(
            "one call for the %d rows of %d requests returned %s, not one result for each row; from now on every "
            "request is predicted by itself. %s",
            sum(counts),
            len(counts),
            _described(result),
            f"The model is {functions.where}" if functions.built_in else advice,
        )


def _bounded(items: Sequence[Any], rows: Sequence[int], most: int) -> Iterator[Sequence[Any]]:
    """The items in runs of at most so many rows; one that has more makes a run of its own."""
    run: list[Any] = []
    total = 0
    for item, count in zip(items, rows, strict=True):
        if run and total + count > most:
            yield run
            run, total = [], 0
        run.append(item)
        total += count
    if run:
        yield run


def _described(result: Any) -> str:
    shape = getattr(result, "shape", None)
    if shape is not None:
        return f"{type(result).__name__} of shape {tuple(shape)}"
    return f"{type(result).__name__} of length {len(result)}" if hasattr(result, "__len__") else type(result).__name__
