"""What is done with one payload: InputFilter, the request with its retries, join and OutputFilter.

With quarantine, a payload that fails is halved until the records are found that fail alone; all others are kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from seaproof.batch import records
from seaproof.batch.failures import explain, unreadable
from seaproof.batch.payload import Bad, ChunkedBody, Failure, Outcome, Payload, RecordError, SendFailed
from seaproof.batch.records import Processing
from seaproof.errors import SeaproofError

Send = Callable[["bytes | ChunkedBody"], bytes]
"""Sends one request to the model and gives its answer. SendFailed where there is none, or it is not 2xx."""

BAD_LIMIT = 1000
"""Records of one object that may be put aside; with more it is the model that is broken, not the data."""
_ENOUGH = 10
"""Records in a row that fail where none was answered, before others are looked at; and how many of these."""
Retries = tuple[int, int]
"""Requests repeated after an answer that was an error, and after none."""
_PAUSES = (0.1, 0.5, 2.0)
_SHOWN = 200


@dataclass(frozen=True)
class Job:
    """What all payloads of a job share; plain values, as it travels to other machines."""

    processing: Processing = field(default_factory=Processing)
    retries: int = 3
    """Requests repeated after no answer or a status from 500 on; a status from 400 to 499 is final."""
    limit: int = 0
    """Bytes of a payload."""
    line_ends: bool = False
    """AssembleWith=Line: each answer ends with a line end."""
    quarantine: bool = False


def run(job: Job, send: Send, payload: Payload, stopped: Callable[[], bool] = lambda: False) -> Outcome:
    """What came of one payload. Raises nothing that the payload or the container brings about."""
    done = Outcome(payload.object, payload.number, payload.stop, last=payload.last, failure=payload.failure)
    if payload.last:
        return done
    if payload.oversize:
        return _oversize(job, payload, done)
    if payload.is_chunked and not (job.processing.before or job.processing.after) and payload.source is not None:
        return _run_chunked(job, send, payload, done, stopped)
    attempt = _Attempt(job, send, payload.header, stopped)
    try:
        data = payload.read()
        if payload.is_chunked:
            done.stop = payload.start + len(data)
        if job.processing.before or job.processing.after:
            _run_records(attempt, data, done)
        else:
            _run_whole(attempt, payload, data, done)
    except (SendFailed, RecordError) as error:
        done.failure = explain(error)
    except (SeaproofError, OSError) as error:
        done.failure = unreadable(error)
    return done


@dataclass
class _Attempt:
    job: Job
    to: Send
    header: bytes
    stopped: Callable[[], bool]

    def send(self, body: bytes | ChunkedBody, retries: Retries | None = None) -> bytes:
        """Once, and again where that may help."""
        after_answer, after_none = retries or (self.job.retries, self.job.retries)
        tried = 0
        while True:
            try:
                return self.to(self.header + body if self.header and isinstance(body, bytes) else body)
            except SendFailed as error:
                used = isinstance(body, ChunkedBody) and not body.again
                left = after_answer if error.status else after_none
                if error.is_clients or tried >= left or self.stopped() or used:
                    raise
            _pause(_PAUSES[min(tried, len(_PAUSES) - 1)], self.stopped)
            tried += 1


def _pause(seconds: float, stopped: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not stopped() and time.monotonic() < until:
        time.sleep(min(0.1, seconds))


def _run_chunked(job: Job, send: Send, payload: Payload, done: Outcome, stopped: Callable[[], bool]) -> Outcome:
    assert payload.source is not None
    body = ChunkedBody(payload.source, payload.start, payload.header)
    try:
        done.data = _ended(job, _Attempt(job, send, b"", stopped).send(body))
        done.stop = payload.start + body.size - len(payload.header)
        done.records = _lines(done.data, job)
    except SendFailed as error:
        done.failure = explain(error)
    return done


def _run_whole(attempt: _Attempt, payload: Payload, data: bytes, done: Outcome) -> None:
    """A payload whose records nobody has to look at, unless it fails and they are to be put aside."""
    job = attempt.job
    try:
        answer = attempt.send(data)
    except SendFailed as error:
        if not job.quarantine:
            raise
        _run_records(attempt, data, done, error)
        return
    if payload.header:
        done.records = _lines(data, job)
        done.data = _ended(job, _without_header(answer, done.records, job))
    else:
        done.data = _ended(job, answer)
        _count(payload, data, done, job)


def _run_records(attempt: _Attempt, data: bytes, done: Outcome, failed: SendFailed | None = None) -> None:
    """A payload of which the single records are looked at. `failed`: how all of them did together."""
    job = attempt.job
    processing = job.processing
    given = records.split_records(data, lines=processing.lines, quoted=processing.quoted)
    done.records = len(given)
    done.data = _halve(attempt, given, done, failed) if job.quarantine and given else _exchange(attempt, given)


def _exchange(attempt: _Attempt, given: list[bytes], retries: Retries | None = None) -> bytes:
    job = attempt.job
    answer = attempt.send(records.before(job.processing, given), retries)
    if attempt.header:
        answer = _without_header(answer, len(given), job)
    if job.processing.after:
        answer = records.after(job.processing, given, answer)
    return _ended(job, answer)


def _halve(attempt: _Attempt, given: list[bytes], done: Outcome, failed: SendFailed | None) -> bytes:
    """The answers in order, without the records that fail alone: these become `bad`."""
    parts: list[bytes] = []
    left = [(0, len(given))]
    while left:
        begin, end = left.pop()
        retries = _retries(attempt.job, end - begin, len(given))
        try:
            if failed is not None:
                raise failed
            part = _exchange(attempt, given[begin:end], retries)
            if end - begin < len(given):
                _check_answered(part, end - begin, attempt.job)
            parts.append(part)
        except (SendFailed, RecordError) as error:
            failed = None
            if attempt.stopped() or len(done.bad) >= BAD_LIMIT:
                raise
            if end - begin == 1:
                done.bad.append(Bad(begin, _short(error), given[begin]))
                if len(done.bad) == _ENOUGH and not parts and isinstance(error, SendFailed):
                    _check_others(attempt, given[end:], error)
            else:
                at = begin + _split_at(error, end - begin)
                left += [(at, end), (begin, at)]
    return b"".join(parts)


def _retries(job: Job, count: int, of: int) -> Retries:
    """Of halves one try tells enough. A record alone was in all of them: one more, where the container answers."""
    if count == of:
        return job.retries, job.retries
    return (min(1, job.retries), job.retries) if count == 1 else (0, 0)


def _check_others(attempt: _Attempt, others: list[bytes], error: SendFailed) -> None:
    """Raise where records of all the rest fail, too, one by one: it is the container then, and not the records."""
    step = max(1, len(others) // _ENOUGH)
    some = others[step - 1 :: step]
    if len(some) < _ENOUGH:
        return
    for record in some:
        try:
            _exchange(attempt, [record], (0, 0))
            return
        except (SendFailed, RecordError):
            continue
    detail = (
        f"{error.detail}. Nothing is put aside, as {_ENOUGH} records in a row fail, and {len(some)} others of the"
        " request: it is the container that is broken, not they"
    )
    raise SendFailed(error.what, status=error.status, body=error.body, detail=detail)


def _check_answered(answer: bytes, count: int, job: Job) -> None:
    """RecordError where one of so many records may have no part in the answer, which looks at them one by one.

    A row of names, for one, is taken for a header where it comes first, and then has no line in the answer.
    """
    lines = _lines(answer, job)
    if lines == count or (count == 1 and lines):
        return
    raise RecordError(f"the container answered {lines:,} lines to {count:,} record{'s' * (count != 1)}", -1)


def _split_at(error: SendFailed | RecordError, count: int) -> int:
    """In the middle, or beside the record that is known to be the one."""
    if isinstance(error, RecordError) and 0 <= error.index < count:
        return error.index or 1
    return count // 2


def _short(error: SendFailed | RecordError) -> str:
    if isinstance(error, SendFailed) and error.body:
        return f"{error.what}: {error.body[:_SHOWN]}"
    return error.what


def _oversize(job: Job, payload: Payload, done: Outcome) -> Outcome:
    size = f"{payload.stop - payload.start:,}" if payload.stop >= 0 else f"more than {job.limit:,}"
    room = job.limit - len(payload.header)
    what = f"a record of {size} bytes is over the {room:,} bytes that MaxPayloadInMB leaves for it"
    done.records = 1
    if job.quarantine and payload.stop >= 0:
        done.bad.append(Bad(0, what, payload.read()))
        return done
    advice = (
        "Raise MaxPayloadInMB, or split the records"
        if payload.stop >= 0
        else ("Raise MaxPayloadInMB, or say SplitType=Line so that the object is sent in parts")
    )
    done.failure = Failure("ClientError", [f"ClientError: {what}"], f"{what}. {advice}")
    return done


def _without_header(answer: bytes, count: int, job: Job) -> bytes:
    """The answer without the header line that some containers give back: one line more than there are records."""
    if _lines(answer, job) != count + 1:
        return answer
    line = records.split_records(answer, quoted=True)[0] if job.processing.quoted else answer[: answer.find(b"\n") + 1]
    return answer[len(line) :]


def _ended(job: Job, answer: bytes) -> bytes:
    return answer + b"\n" if job.line_ends and answer and not answer.endswith(b"\n") else answer


def _count(payload: Payload, data: bytes, done: Outcome, job: Job) -> None:
    """Count the records. That goes over every byte: over the answer, where it is smaller and known to have as many."""
    if not payload.count and len(done.data) < len(data) // 4:
        done.records, done.agrees = _lines(done.data, job), True
        return
    done.records = _lines(data, job)
    done.agrees = len(done.data) < len(data) // 4 and _lines(done.data, job) == done.records


def _lines(data: bytes, job: Job) -> int:
    if not job.processing.lines:
        return 1
    if job.processing.quoted and b'"' in data:
        return len(records.split_records(data, quoted=True))
    return data.count(b"\n") + (not data.endswith(b"\n") if data else 0)
