"""What a transform would send, found out without sending: how many requests, how many bytes, what is over the limit."""

from __future__ import annotations

from dataclasses import dataclass, field

from seaproof.batch.source import PIECE, Source
from seaproof.batch.split import first_record_end, splitter
from seaproof.batch.transform import Cutting

_SHOWN = 20


@dataclass(frozen=True)
class Oversize:
    """A record that is over the limit alone."""

    line: int
    """From 1; 0 where the object is not split into lines."""
    start: int
    size: int
    """-1 where the whole object is the record, and longer than the limit."""


@dataclass
class Survey:
    """Of one object."""

    requests: int = 0
    bytes: int = 0
    """That would be sent, repeated headers included."""
    oversize: list[Oversize] = field(default_factory=list)
    """The first of them."""
    oversizes: int = 0


def survey(source: Source, cutting: Cutting) -> Survey:
    """Cut the object as a job would. FramingError where it is not in the format that the split asks for."""
    found = Survey()
    start = head = 0
    if cutting.repeat_header and not source.ends_by(0):
        start = head = first_record_end(source, 0, quoted=cutting.quoted)
    split = splitter(cutting.split, limit=cutting.limit, single=cutting.single, quoted=cutting.quoted, head=head)
    line, counted = 1, 0
    for cut in split(source, start):
        if cut.oversize:
            found.oversizes += 1
            if len(found.oversize) < _SHOWN:
                if source.lazy and cutting.split == "Line":
                    line, counted = line + _lines(source, counted, cut.start), cut.start
                size = cut.stop - cut.start if cut.stop >= 0 else -1
                found.oversize.append(Oversize(line if cutting.split == "Line" and source.lazy else 0, cut.start, size))
            continue
        found.requests += 1
        found.bytes += head + (cut.stop - cut.start if cut.stop >= 0 else _rest(source, cut.start))
    return found


def _lines(source: Source, start: int, stop: int) -> int:
    count = 0
    while start < stop:
        piece = source.read(start, min(stop, start + PIECE))
        count += piece.count(b"\n")
        start += len(piece)
    return count


def _rest(source: Source, start: int) -> int:
    at = start
    while part := source.read(at, at + PIECE):
        at += len(part)
        source.release(at)
    return at - start
