"""What passes through a transform: a payload on its way to a container, and what came of it on its way back.

Both can be pickled, as an engine may do the work on another machine: a payload then carries its bytes along.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from seaproof.batch.source import Source, pieces
from seaproof.batch.split import Cut
from seaproof.errors import SeaproofError


class SendFailed(SeaproofError):
    """A container did not answer a request with 2xx. `what` is what the platform writes into the job's log.

    `status` is that of the container, 0 where no answer came; `body` the beginning of its answer.
    """

    def __init__(self, what: str, *, status: int = 0, body: str = "", detail: str = "", where: str = "") -> None:
        super().__init__(what, where=where)
        self.status = status
        self.body = body
        self.detail = detail

    @property
    def is_clients(self) -> bool:
        """Whether it is the request that the container refuses."""
        return 400 <= self.status < 500


class RecordError(SeaproofError):
    """One record cannot be filtered or joined; `index` counts from 0 within its payload."""

    def __init__(self, what: str, index: int = 0) -> None:
        super().__init__(what)
        self.index = index


class ChunkedBody:
    """The rest of an object as a body of unknown length: sent with chunked encoding, never whole in memory.

    A source that can be read once only makes a body that can be sent once only; `sent` says whether it was.
    """

    def __init__(self, source: Source, start: int, before: bytes = b"") -> None:
        self._source, self._start, self._before = source, start, before
        self.sent = False
        self.size = 0
        """Bytes that went out."""

    @property
    def again(self) -> bool:
        """Whether it can be sent (again)."""
        return self._source.lazy or not self.sent

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> bytes:
        return b""  # what is shown of a body that failed; this one is read once

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.sent, self.size = True, 0
        for piece in self._pieces():
            self.size += len(piece)
            yield piece

    def _pieces(self) -> Iterator[bytes]:
        if self._before:
            yield self._before
        yield from pieces(self._source, self._start)


@dataclass(slots=True)
class Payload:
    """One request: ordered and bounded."""

    object: int
    """Number of its object."""
    number: int
    """Number within its object, from 0."""
    start: int
    stop: int
    """Its part of the object, in bytes; -1 for up to the end."""
    source: Source | None = None
    data: bytes | None = None
    """Its bytes, where they cannot be read at any time."""
    header: bytes = b""
    """What is put before them."""
    inner: tuple[tuple[int, int], ...] = ()
    oversize: bool = False
    last: bool = False
    """Marks the end of its object and carries no data."""
    failure: Failure | None = None
    """With `last`: why the object cannot be read on."""
    count: bool = True
    """Whether its records are to be counted on itself; else its answer, which is shorter, will do."""

    @property
    def is_chunked(self) -> bool:
        return self.stop < 0

    def read(self) -> bytes:
        """The records, without a repeated header."""
        if self.data is not None:
            return self.data
        assert self.source is not None
        if self.is_chunked:
            return b"".join(pieces(self.source, self.start))
        if self.inner:
            return b"".join(self.source.read(begin, end) for begin, end in self.inner)
        return self.source.read(self.start, self.stop)

    def __getstate__(self) -> tuple[Any, ...]:
        data = None if self.last or (self.oversize and self.is_chunked) else self.read()
        stop = self.start + len(data) if self.is_chunked and data is not None else self.stop
        if self.oversize:
            stop = self.stop
        rest = (self.oversize, self.last, self.failure, self.count)
        return (self.object, self.number, self.start, stop, data, self.header, *rest)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.object, self.number, self.start, self.stop, self.data, self.header = state[:6]
        self.oversize, self.last, self.failure, self.count = state[6:]
        self.source, self.inner = None, ()


@dataclass(slots=True)
class Failure:
    """Why an object fails."""

    kind: str
    """`ClientError` or `AlgorithmError`, the class word of FailureReason."""
    lines: list[str]
    """What the platform writes into the log of the job, after the object's name."""
    reason: str
    """The same for people: what, which record, what to do."""
    header_suspected: bool = False
    """Whether the object seems to begin with a header that this request did not have."""
    status: int = 0
    """That the container answered with; 0 where it was not that."""
    unreadable: bool = False
    """Whether the object itself cannot be read on, whatever its records are."""


@dataclass(slots=True)
class Bad:
    """A record that was left out."""

    index: int
    """From 0, within its payload."""
    reason: str
    record: bytes


@dataclass(slots=True)
class Outcome:
    """What came of one payload."""

    object: int
    number: int
    stop: int
    """Where its part of the object ends: with this written, the rest begins there."""
    data: bytes = b""
    records: int = 0
    bad: list[Bad] = field(default_factory=list)
    failure: Failure | None = None
    last: bool = False
    agrees: bool = False
    """Whether the answer has as many lines as the payload has records."""


def payload_of(cut: Cut, source: Source, object: int, number: int, header: bytes = b"") -> Payload:
    """The payload of a cut; it holds bytes only where these are gone afterwards."""
    data = None
    if not source.lazy and cut.stop >= 0:
        ranges = cut.inner or ((cut.start, cut.stop),)
        data = b"".join(source.read(begin, end) for begin, end in ranges)
    return Payload(object, number, cut.start, cut.stop, source, data, header, cut.inner, cut.oversize)
